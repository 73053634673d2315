/** The server's answers, as the rest of the UI names them. docs/reference/http.md says what they mean. */

export type Labels = Record<string, string>
export type Role = 'writer' | 'viewer' | 'operator' | 'editor' | 'admin'
export type Severity = 'critical' | 'warning' | 'info'
export type AlertState = 'inactive' | 'pending' | 'firing' | 'resolved'
export type Condition = '>' | '>=' | '<' | '<=' | '==' | '!='

export interface Page<T> {
  items: T[]
  next: string | null
}

export interface Session {
  name: string
  role: Role
  kind: 'user' | 'token' | 'anonymous'
  permissions: string[]
  has_password: boolean
}

export interface Metric {
  name: string
  unit: string
  kind: string
  help: string
  series: number
}

export interface SeriesValue {
  labels: Labels
  time: number | null
  value: number | null
}

export interface RangeAnswer {
  step_ms: number
  times: number[]
  series: { labels: Labels; min: (number | null)[]; avg: (number | null)[]; max: (number | null)[] }[]
}

export interface Trend {
  name: string
  hours: number
  trend: 'up' | 'down' | 'flat' | 'no_data'
  avg: number
  min: number
  max: number
  slope_per_hour: number
  change: number
  samples: number
  series: number
}

export interface Rule {
  id: number
  name: string
  metric_name: string
  tags: Labels
  matchers: string[]
  condition: Condition
  threshold: number
  duration: number
  severity: Severity
  enabled: boolean
  description: string
  expr: string
  version: number
  created_at: string | null
  updated_at: string | null
  state: 'inactive' | 'pending' | 'firing'
  alerts: number
}

export interface Alert {
  id: number
  rule_id: number | null
  rule_name: string
  metric_name: string
  condition: Condition
  threshold: number
  state: AlertState
  severity: Severity
  labels: Labels
  value: number | null
  peak: number | null
  started_at: string
  fired_at: string | null
  resolved_at: string | null
  changed_at: string
  reason: string
  acknowledged: boolean
  acknowledged_by: string
  acknowledged_at: string | null
  comment: string
}

export interface HistoryItem {
  id: number
  alert_id: number
  rule_id: number | null
  rule_name: string
  severity: Severity
  labels: Labels
  triggered_at: string
  value: number | null
  peak: number | null
  resolved_at: string | null
  reason: string
  acknowledged: boolean
  acknowledged_by: string
  acknowledged_at: string | null
  comment: string
}

export interface Letter {
  id: number
  kind: string
  receiver: string
  recipient: string
  alert_id: number
  rule_name: string
  severity: Severity
  state: 'queued' | 'sending' | 'sent' | 'replaced' | 'dead'
  created_at: string
  next_attempt_at: string | null
  attempts: number
  last_error: string
  answer: string
  sent_at: string | null
  expires_at: string
}

export interface User {
  id: number
  name: string
  role: Role
  enabled: boolean
  has_password: boolean
  created_at: string | null
}

export interface Token {
  id: number
  name: string
  role: Role
  created_by: string
  created_at: string | null
  expires_at: string | null
  last_used_at: string | null
}

export interface AuditRow {
  id: number
  at: string
  actor: string
  address: string
  action: string
  target: string
  before: Record<string, unknown> | null
  after: Record<string, unknown> | null
}

export interface About {
  version: string
  started_at: string
  smtp: boolean
  host_interval: number | null
}

/** A live value of a series, as the WebSocket brings it. */
export interface Sample {
  labels: Labels
  time: number
  value: number
}
