import { counted } from './format'
import { isMatcher, splitMatchers } from './labels'
import type { Labels, Role, Token } from './types'

/** What a token is held to, as it is typed. */
export interface AllowanceText {
  labels: string
  rate: string
  seriesMax: string
  reads: string
}

export interface Allowance {
  labels: Labels
  rate: number | null
  series_max: number | null
  reads: string[]
}

export type AllowanceFaults = Partial<Record<keyof Allowance, string>>

export const NO_ALLOWANCE: AllowanceText = { labels: '', rate: '', seriesMax: '', reads: '' }

export function allowanceText(token: Allowance): AllowanceText {
  const labels = Object.entries(token.labels).map(([name, value]) => `${name}=${quoted(value)}`)
  return {
    labels: labels.join(', '),
    rate: `${token.rate ?? ''}`,
    seriesMax: `${token.series_max ?? ''}`,
    reads: token.reads.join(', '),
  }
}

/** A writer is held to what it writes, a viewer to what it reads; nobody else is held to anything. */
export function allowanceFor(role: Role, text: AllowanceText): AllowanceText {
  if (role === 'writer') return { ...text, reads: '' }
  return role === 'viewer' ? { ...NO_ALLOWANCE, reads: text.reads } : NO_ALLOWANCE
}

/** What was typed, or what is wrong with it. */
export function readAllowance(text: AllowanceText): { allowance: Allowance; faults: AllowanceFaults } {
  const faults: AllowanceFaults = {}
  const labels: Labels = {}
  for (const part of splitMatchers(text.labels)) {
    const [, name = '', value = ''] = /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(part) ?? []
    if (name === '' || value === '') faults.labels = `Write labels as name=value; “${part}” is not one.`
    else labels[name] = unquoted(value)
  }
  const reads = splitMatchers(text.reads)
  const odd = reads.find((part) => !isMatcher(part))
  if (odd !== undefined) faults.reads = `Write matchers as name="value"; “${odd}” is not one.`
  const rate = readCount(text.rate)
  const series_max = readCount(text.seriesMax)
  if (rate === undefined) faults.rate = 'Give a whole number.'
  if (series_max === undefined) faults.series_max = 'Give a whole number.'
  return { allowance: { labels, rate: rate ?? null, series_max: series_max ?? null, reads }, faults }
}

/** “1,000 samples/s · 500 series”, without the labels. */
export function allowanceBounds(token: Pick<Token, 'rate' | 'series_max'>): string {
  const bounds: string[] = []
  if (token.rate !== null) bounds.push(`${token.rate.toLocaleString('en-US')} samples/s`)
  if (token.series_max !== null) bounds.push(counted(token.series_max, 'series', 'series'))
  return bounds.join(' · ')
}

function readCount(text: string): number | null | undefined {
  const plain = text.replaceAll(/[\s,_]/g, '')
  if (plain === '') return null
  return /^\d{1,10}$/.test(plain) && Number(plain) > 0 ? Number(plain) : undefined
}

function quoted(value: string): string {
  return /[",]|^\s|\s$/.test(value) ? `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : value
}

function unquoted(value: string): string {
  return /^".*"$/.test(value) ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value
}
