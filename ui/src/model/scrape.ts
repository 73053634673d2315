import type { FieldErrors } from './rule'
import type { Labels } from './types'

/** An entry of Prometheus' `scrape_configs`; on its way to a change, null takes a key out. */
export type JobConfig = Record<string, unknown>

/** What the server writes in the place of a secret; sent back, it means the one that is kept. */
export const MASK = '<secret>'

export type Access = 'none' | 'basic' | 'token'

/** A job as it is being typed. `rest` holds, as JSON, what has no field of its own. */
export interface JobDraft {
  name: string
  targets: string
  labels: string
  scheme: 'http' | 'https'
  path: string
  interval: string
  timeout: string
  access: Access
  username: string
  secret: string
  /** A secret is kept; an empty field leaves it as it is. */
  kept: boolean
  rest: string
  enabled: boolean
}

export function emptyDraft(): JobDraft {
  return {
    name: '',
    targets: '',
    labels: '',
    scheme: 'http',
    path: '/metrics',
    interval: '15s',
    timeout: '',
    access: 'none',
    username: '',
    secret: '',
    kept: false,
    rest: '',
    enabled: true,
  }
}

/** The draft that says what the configuration says. */
export function draftOf(config: JobConfig, enabled: boolean): JobDraft {
  const rest: JobConfig = { ...config }
  const take = (key: string): string => {
    const value = rest[key]
    delete rest[key]
    return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
  }
  const draft = { ...emptyDraft(), enabled }
  draft.name = take('job_name')
  draft.scheme = take('scheme') === 'https' ? 'https' : 'http'
  draft.path = take('metrics_path') || '/metrics'
  draft.interval = take('scrape_interval')
  draft.timeout = take('scrape_timeout')
  const group = onlyGroup(rest['static_configs'])
  if (group !== null) {
    draft.targets = group.targets.join('\n')
    draft.labels = Object.entries(group.labels).map(([name, value]) => `${name}=${value}`).join('\n')
    delete rest['static_configs']
  }
  const basic = basicOf(rest['basic_auth'])
  const token = tokenOf(rest['authorization'])
  if (basic !== null) {
    Object.assign(draft, { access: 'basic', username: basic.username, ...secretOf(basic.password) })
    delete rest['basic_auth']
  } else if (token !== null) {
    Object.assign(draft, { access: 'token', ...secretOf(token) })
    delete rest['authorization']
  }
  draft.rest = Object.keys(rest).length === 0 ? '' : JSON.stringify(rest, null, 2)
  return draft
}

/** The configuration to send, or what to correct first, by field. The server checks again. */
export function checkJob(draft: JobDraft): { config: JobConfig } | { errors: FieldErrors } {
  const errors: FieldErrors = {}
  const rest = restOf(draft.rest)
  if (rest === null) errors['rest'] = 'Write a JSON object, like {"honor_labels": true}.'
  const config: JobConfig = { ...(rest ?? {}), job_name: draft.name.trim() }
  if (config['job_name'] === '') errors['name'] = 'Give the job a name.'
  const targets = draft.targets.split(/[\s,]+/).filter((one) => one !== '')
  const labels = labelsOf(draft.labels)
  if (labels === null) errors['labels'] = 'Write one label a line, like rack=a7.'
  const sought = Object.keys(config).some((key) => key === 'static_configs' || key.endsWith('_sd_configs'))
  const wrong = targets.find((one) => one.includes('/'))
  if (wrong !== undefined) errors['targets'] = `${wrong}: a target is HOST:PORT; scheme and path have fields of their own.`
  else if (targets.length === 0 && !sought) errors['targets'] = 'Name at least one target.'
  else if (targets.length > 0 && 'static_configs' in config) errors['targets'] = 'Name the targets here or in static_configs, not in both.'
  if (targets.length > 0) {
    config['static_configs'] = [{ targets, ...(labels && Object.keys(labels).length > 0 ? { labels } : {}) }]
  } else if (draft.labels.trim() !== '' && labels !== null) errors['labels'] = 'These labels are for the targets above.'
  if (draft.scheme !== 'http') config['scheme'] = draft.scheme
  if (draft.path.trim() !== '' && draft.path.trim() !== '/metrics') config['metrics_path'] = draft.path.trim()
  if (draft.interval.trim() !== '') config['scrape_interval'] = draft.interval.trim()
  if (draft.timeout.trim() !== '') config['scrape_timeout'] = draft.timeout.trim()
  const secret = draft.secret === '' && draft.kept ? MASK : draft.secret
  if (draft.access === 'basic') {
    if (draft.username === '') errors['username'] = 'Give the name to sign in with.'
    config['basic_auth'] = { username: draft.username, password: secret }
  } else if (draft.access === 'token') {
    if (secret === '') errors['secret'] = 'Give the token.'
    config['authorization'] = { credentials: secret }
  }
  return Object.keys(errors).length > 0 ? { errors } : { config }
}

/** `after`, with a null for each key that `before` has and it has not. */
export function changeOf(before: JobConfig, after: JobConfig): JobConfig {
  const gone = Object.keys(before).filter((key) => !(key in after))
  return { ...after, ...Object.fromEntries(gone.map((key) => [key, null])) }
}

/** The field of the form that shows a key of the configuration, by the server's path of it. */
export function fieldOf(path: string): keyof JobDraft {
  const key = path.split(/[.[]/)[0] ?? ''
  if (path.startsWith('static_configs') && path.includes('labels')) return 'labels'
  const fields: Record<string, keyof JobDraft> = {
    job_name: 'name',
    static_configs: 'targets',
    scheme: 'scheme',
    metrics_path: 'path',
    scrape_interval: 'interval',
    scrape_timeout: 'timeout',
    basic_auth: 'secret',
    authorization: 'secret',
  }
  return fields[key] ?? 'rest'
}

function onlyGroup(value: unknown): { targets: string[]; labels: Labels } | null {
  if (!Array.isArray(value) || value.length !== 1 || !isObject(value[0])) return null
  const { targets, labels = {}, ...more } = value[0]
  if (!Array.isArray(targets) || !isObject(labels) || Object.keys(more).length > 0) return null
  return {
    targets: targets.map(String),
    labels: Object.fromEntries(Object.entries(labels).map(([name, one]) => [name, String(one)])),
  }
}

function basicOf(value: unknown): { username: string; password: string } | null {
  if (!isObject(value)) return null
  const { username = '', password = '', ...more } = value
  return Object.keys(more).length > 0 ? null : { username: String(username), password: String(password) }
}

/** The token of the usual kind of authorization; another kind stays JSON. */
function tokenOf(value: unknown): string | null {
  if (!isObject(value)) return null
  const { type = 'Bearer', credentials = '', ...more } = value
  return type !== 'Bearer' || Object.keys(more).length > 0 ? null : String(credentials)
}

function secretOf(text: string): { secret: string; kept: boolean } {
  return text === MASK ? { secret: '', kept: true } : { secret: text, kept: false }
}

function restOf(text: string): JobConfig | null {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

function labelsOf(text: string): Labels | null {
  const labels: Labels = {}
  for (const line of text.split('\n').map((one) => one.trim())) {
    if (line === '') continue
    const at = line.indexOf('=')
    if (at <= 0) return null
    labels[line.slice(0, at).trim()] = line.slice(at + 1).trim()
  }
  return labels
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
