import { expect, test } from 'vitest'
import { changeOf, checkJob, draftOf, emptyDraft, fieldOf, type JobConfig, type JobDraft } from '../../src/model/scrape'

const CONFIG: JobConfig = {
  job_name: 'node',
  scheme: 'https',
  metrics_path: '/stats',
  scrape_interval: '15s',
  scrape_timeout: '5s',
  static_configs: [{ targets: ['a:1', 'b:1'], labels: { rack: 'a7' } }],
  basic_auth: { username: 'u', password: '<secret>' },
  honor_labels: true,
}

function sent(draft: JobDraft): JobConfig {
  const checked = checkJob(draft)
  if ('errors' in checked) throw new Error(JSON.stringify(checked.errors))
  return checked.config
}

function errorsOf(changes: Partial<JobDraft>): Record<string, string | undefined> {
  const checked = checkJob({ ...emptyDraft(), name: 'node', targets: 'a:1', ...changes })
  return 'errors' in checked ? checked.errors : {}
}

test('a job in the form is its configuration, field by field, and the rest as JSON', () => {
  const draft = draftOf(CONFIG, true)
  expect(draft).toMatchObject({
    name: 'node',
    targets: 'a:1\nb:1',
    labels: 'rack=a7',
    scheme: 'https',
    path: '/stats',
    interval: '15s',
    timeout: '5s',
    access: 'basic',
    username: 'u',
    secret: '',
    kept: true,
  })
  expect(JSON.parse(draft.rest)).toEqual({ honor_labels: true })
})

test('a job that is not changed goes back as what it was', () => {
  expect(sent(draftOf(CONFIG, true))).toEqual(CONFIG)
})

test.each<JobConfig>([
  { job_name: 'a', static_configs: [{ targets: ['a:1'] }, { targets: ['b:1'] }] },
  { job_name: 'a', static_configs: [{ targets: ['a:1'] }], authorization: { type: 'Token', credentials: '<secret>' } },
  { job_name: 'a', dns_sd_configs: [{ names: ['x'] }], basic_auth: { username: 'u', password_file: '/x' } },
])('what has no field of its own is kept: %j', (config) => {
  expect(sent(draftOf(config, true))).toEqual(config)
})

test('a new secret is sent, and the mask for one that is kept', () => {
  const draft = draftOf(CONFIG, true)
  expect(sent({ ...draft, secret: 'new' })['basic_auth']).toEqual({ username: 'u', password: 'new' })
  expect(sent({ ...draft, access: 'token' })['authorization']).toEqual({ credentials: '<secret>' })
  expect(sent({ ...draft, access: 'none' })).not.toHaveProperty('basic_auth')
})

test('keys that are there no longer are taken out', () => {
  expect(changeOf(CONFIG, { job_name: 'node' })).toMatchObject({ job_name: 'node', basic_auth: null, honor_labels: null })
})

test('a draft with a mistake says what to correct', () => {
  expect(errorsOf({ name: ' ' })).toHaveProperty('name')
  expect(errorsOf({ targets: '' })).toHaveProperty('targets')
  expect(errorsOf({ targets: 'http://a/' })).toHaveProperty('targets')
  expect(errorsOf({ labels: 'rack' })).toHaveProperty('labels')
  expect(errorsOf({ rest: '[1]' })).toHaveProperty('rest')
  expect(errorsOf({ rest: '{' })).toHaveProperty('rest')
  expect(errorsOf({ rest: '{"static_configs": []}' })).toHaveProperty('targets')
  expect(errorsOf({ access: 'token' })).toHaveProperty('secret')
  expect(errorsOf({ access: 'basic' })).toHaveProperty('username')
  expect(errorsOf({ targets: '', rest: '{"dns_sd_configs": []}' })).toEqual({})
})

test('an error of the server is shown at the field that it is about', () => {
  expect(fieldOf('static_configs[0].targets[1]')).toBe('targets')
  expect(fieldOf('static_configs[0].labels.x')).toBe('labels')
  expect(fieldOf('basic_auth.password')).toBe('secret')
  expect(fieldOf('relabel_configs[0].regex')).toBe('rest')
})
