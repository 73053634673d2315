import type {
  About,
  Alert,
  AlertState,
  AuditRow,
  DiskUse,
  Backup,
  BackupList,
  HistoryItem,
  Letter,
  LetterState,
  MadeToken,
  Metric,
  NewToken,
  NewUser,
  Page,
  RangeAnswer,
  RetentionItem,
  RetentionList,
  RetentionLoss,
  Rule,
  RuleChange,
  RuleFile,
  RuleGroup,
  ScrapeJob,
  SeriesStats,
  SeriesValue,
  Session,
  Severity,
  SignedIn,
  Target,
  Token,
  TokenChange,
  Trend,
  User,
  UserChange,
} from '../model/types'
import type { QueryAnswer } from '../model/query'
import type { RuleBody } from '../model/rule'
import type { JobConfig } from '../model/scrape'
import { ApiError, OFFLINE, problemOf } from './problem'

type Query = Record<string, string | number | readonly string[] | null | undefined>
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface PageAsked {
  cursor?: string | null
  limit?: number
}

/** Every call of the HTTP interface, once. Rejects with ApiError. */
export class Client {
  /** Server's clock minus this machine's, in ms: charts end at the server's now. */
  clockOffsetMs = 0

  constructor(
    private readonly fetcher: typeof fetch,
    private readonly now: () => number,
    private readonly onSignedOut: () => void,
    private readonly base = '',
  ) {}

  serverNow(): number {
    return this.now() + this.clockOffsetMs
  }

  // session

  session = () => this.get<Session>('api/session', {}, { quiet: true })
  signIn = (username: string, password: string) =>
    this.send<SignedIn>('POST', 'api/session', { username, password }, { quiet: true })
  redeemLink = (link: string) =>
    this.send<SignedIn>('POST', 'api/session/link', { link }, { quiet: true })
  setPassword = (password: string, current: string | null) =>
    this.send<void>('PUT', 'api/session/password', current === null ? { password } : { password, current })
  signOut = () => this.send<void>('DELETE', 'api/session', undefined, { quiet: true })

  // metrics

  metrics = (page: PageAsked = {}) => this.get<Page<Metric>>('api/metrics', { ...page })
  series = (name: string, match: readonly string[] = [], page: PageAsked = {}) =>
    this.get<Page<SeriesValue>>('api/metrics/series', { name, match, ...page })
  seriesStats = (limit: number) => this.get<SeriesStats>('api/series/stats', { limit })
  range = (name: string, match: readonly string[], startMs: number, endMs: number, stepMs: number) =>
    this.get<RangeAnswer>('api/metrics/range', {
      name,
      match,
      start: startMs / 1000,
      end: endMs / 1000,
      step: `${stepMs / 1000}s`,
    })
  trend = (name: string, hours: number, match: readonly string[] = []) =>
    this.get<Trend>(`api/trends/${encodeURIComponent(name)}`, { hours, match })

  // PromQL

  query = (expr: string, atMs: number, explain: boolean) =>
    this.get<QueryAnswer>('api/v1/query', { query: expr, time: atMs / 1000, explain: explain ? 1 : null })
  queryRange = (expr: string, startMs: number, endMs: number, stepMs: number, explain: boolean) =>
    this.get<QueryAnswer>('api/v1/query_range', {
      query: expr,
      start: startMs / 1000,
      end: endMs / 1000,
      step: stepMs / 1000,
      explain: explain ? 1 : null,
    })

  // rules

  rules = (page: PageAsked = {}) => this.get<Page<Rule>>('api/rules', { ...page })
  rule = (id: number) => this.get<Rule>(`api/rules/${id}`)
  addRule = (rule: RuleBody) => this.send<Rule>('POST', 'api/rules', rule)
  changeRule = (id: number, change: RuleChange) =>
    this.send<Rule>('PATCH', `api/rules/${id}`, change)
  deleteRule = (id: number) => this.send<void>('DELETE', `api/rules/${id}`)
  addDefaultRules = () => this.send<{ created: Rule[] }>('POST', 'api/rules/defaults')

  ruleGroups = (page: PageAsked = {}) => this.get<Page<RuleGroup>>('api/rule-groups', { ...page })
  ruleFiles = (page: PageAsked = {}) => this.get<Page<RuleFile>>('api/rule-files', { ...page })
  ruleFile = (name: string) => this.get<{ text: string }>(`api/rule-files/${encodeURIComponent(name)}`)
  putRuleFile = (name: string, text: string) =>
    this.send<RuleFile>('PUT', `api/rule-files/${encodeURIComponent(name)}`, { text })
  deleteRuleFile = (name: string) => this.send<void>('DELETE', `api/rule-files/${encodeURIComponent(name)}`)

  // retention

  retention = () => this.get<RetentionList>('api/retention', { limit: 1000 })
  setRetention = (items: readonly RetentionItem[]) => this.send<RetentionList>('PUT', 'api/retention', { items })
  previewDeletion = (match: readonly string[]) => this.send<RetentionLoss>('POST', 'api/series/delete/preview', { match })
  deleteSeries = (match: readonly string[], series: number) =>
    this.send<RetentionLoss>('POST', 'api/series/delete', { match, series })
  diskUse = () => this.get<DiskUse>('api/retention/disk')
  previewRetention = (items: readonly RetentionItem[]) =>
    this.send<RetentionLoss>('POST', 'api/retention/preview', { items })

  // scraping

  scrapeJobs = (page: PageAsked = {}) => this.get<Page<ScrapeJob>>('api/scrape/jobs', { ...page })
  scrapeJob = (id: number) => this.get<ScrapeJob>(`api/scrape/jobs/${id}`)
  addScrapeJob = (config: JobConfig, enabled: boolean) =>
    this.send<ScrapeJob>('POST', 'api/scrape/jobs', { ...config, enabled })
  changeScrapeJob = (id: number, change: JobConfig & { enabled?: boolean; version?: number }) =>
    this.send<ScrapeJob>('PATCH', `api/scrape/jobs/${id}`, change)
  deleteScrapeJob = (id: number) => this.send<void>('DELETE', `api/scrape/jobs/${id}`)
  targets = (query: { state?: 'active' | 'dropped' | 'any'; job?: string | null; health?: string | null } & PageAsked) =>
    this.get<Page<Target>>('api/targets', { ...query })

  // alerts

  alerts = (query: { state?: readonly AlertState[]; severity?: Severity; rule_id?: number } & PageAsked = {}) =>
    this.get<Page<Alert>>('api/alerts', { ...query })
  alert = (id: number) => this.get<Alert>(`api/alerts/${id}`)
  acknowledge = (id: number, comment: string) =>
    this.send<Alert>('POST', `api/alerts/${id}/acknowledge`, comment === '' ? {} : { comment })
  history = (
    query: { since?: number | null; until?: number | null; severity?: Severity | null; rule_id?: number | null } & PageAsked,
  ) => this.get<Page<HistoryItem>>('api/history', { ...query })

  // outbox

  outbox = (query: { state?: LetterState | null } & PageAsked) => this.get<Page<Letter>>('api/outbox', { ...query })
  resend = (id: number) => this.send<Letter>('POST', `api/outbox/${id}/resend`)

  // people

  users = (page: PageAsked = {}) => this.get<Page<User>>('api/users', { ...page })
  addUser = (user: NewUser) => this.send<User>('POST', 'api/users', user)
  changeUser = (id: number, change: UserChange) =>
    this.send<User>('PATCH', `api/users/${id}`, change)
  tokens = (page: PageAsked = {}) => this.get<Page<Token>>('api/tokens', { ...page })
  addToken = (token: NewToken) => this.send<MadeToken>('POST', 'api/tokens', token)
  changeToken = (id: number, change: TokenChange) => this.send<Token>('PATCH', `api/tokens/${id}`, change)
  deleteToken = (id: number) => this.send<void>('DELETE', `api/tokens/${id}`)
  audit = (page: PageAsked = {}) => this.get<Page<AuditRow>>('api/audit', { ...page })

  // backups

  backups = (page: PageAsked = {}) => this.get<BackupList>('api/backups', { ...page })
  startBackup = (to: string | null) => this.send<Backup>('POST', 'api/backups', to === null ? {} : { to })

  // the server

  about = () => this.get<About>('api/about')

  private get<T>(path: string, query: Query = {}, options: { quiet?: boolean } = {}): Promise<T> {
    return this.ask<T>('GET', withQuery(path, query), undefined, options)
  }

  private send<T>(method: Method, path: string, body?: unknown, options: { quiet?: boolean } = {}): Promise<T> {
    return this.ask<T>(method, path, body, options)
  }

  /** `quiet`: a 401 is an answer here, not the end of the session. */
  private async ask<T>(method: Method, path: string, body: unknown, options: { quiet?: boolean }): Promise<T> {
    const response = await this.fetched(method, path, body)
    this.setClock(response)
    if (!response.ok) {
      if (response.status === 401 && options.quiet !== true) this.onSignedOut()
      throw await problemOf(response)
    }
    return (response.status === 204 ? undefined : await response.json()) as T
  }

  private async fetched(method: Method, path: string, body: unknown): Promise<Response> {
    const init: RequestInit = { method, credentials: 'same-origin', headers: { Accept: 'application/json' } }
    if (body !== undefined) {
      init.body = JSON.stringify(body)
      init.headers = { Accept: 'application/json', 'Content-Type': 'application/json' }
    }
    try {
      return await this.fetcher(this.base + path, init)
    } catch {
      throw new ApiError(OFFLINE, 'The server cannot be reached. Check that it runs and that the network is up.')
    }
  }

  /** The header has whole seconds, so that a smaller difference is no difference. */
  private setClock(response: Response): void {
    const server = Date.parse(response.headers.get('date') ?? '')
    if (Number.isNaN(server)) return
    const offset = server + 500 - this.now()
    this.clockOffsetMs = Math.abs(offset) > 2_000 ? offset : 0
  }
}

export function withQuery(path: string, query: Query): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === '') continue
    for (const one of typeof value === 'object' ? value : [value]) params.append(name, String(one))
  }
  const text = params.toString()
  return text === '' ? path : `${path}?${text}`
}
