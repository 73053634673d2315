/** The server's words, as the rest of the UI names them: generated from its description of itself. */
import type { components } from './schema'

type Schemas = components['schemas']

export type Role = Schemas['Role']
export type Severity = Schemas['Severity']
export type AlertState = Schemas['AlertState']
export type Condition = Schemas['Condition']
export type LetterState = Schemas['LetterState']

export type About = Schemas['About']
export type Alert = Schemas['Alert']
export type AuditRow = Schemas['AuditRow']
export type Backup = Schemas['Backup']
export type BackupList = Schemas['BackupList']
export type DiskUse = Schemas['DiskUse']
export type HistoryItem = Schemas['HistoryItem']
export type Letter = Schemas['Letter']
export type MadeToken = Schemas['MadeToken']
export type Metric = Schemas['Metric']
export type NewRule = Schemas['NewRule']
export type NewToken = Schemas['NewToken']
export type NewUser = Schemas['NewUser']
export type RangeAnswer = Schemas['Range']
export type RetentionItem = Omit<Schemas['ListedRetentionPolicy'], 'position'>
export type RetentionList = Schemas['RetentionList']
export type RetentionLoss = Schemas['RetentionLoss']
export type RetentionPolicy = Schemas['RetentionPolicy']
export type Rule = Schemas['Rule']
export type RuleChange = Schemas['RuleChange']
export type RuleFile = Schemas['RuleFile']
export type RuleGroup = Schemas['RuleGroup']
export type ScrapeJob = Schemas['ScrapeJob']
export type SeriesStats = Schemas['SeriesStats']
export type SeriesValue = Schemas['Series']
export type Session = Schemas['Session']
export type SignedIn = Schemas['SignedIn']
export type Target = Schemas['Target']
export type Token = Schemas['Token']
export type TokenChange = Schemas['TokenChange']
export type Trend = Schemas['Trend']
export type User = Schemas['User']
export type UserChange = Schemas['UserChange']

export type Labels = Record<string, string>

/** A page of any list. */
export interface Page<T> {
  items: T[]
  next: string | null
}

/** A live value of a series, as the WebSocket brings it. */
export interface Sample {
  labels: Labels
  time: number
  /** Null for a number that JSON cannot write. */
  value: number | null
}
