import type { Severity } from './types'

/** The worst first. */
export const SEVERITIES: readonly Severity[] = ['critical', 'warning', 'info']

export const SEVERITY_NAMES: Record<Severity, string> = { critical: 'Critical', warning: 'Warning', info: 'Info' }

/** 0 for the worst. */
export function severityRank(severity: Severity): number {
  return SEVERITIES.indexOf(severity)
}

export function worstSeverity(severities: Iterable<Severity>): Severity | null {
  const present = new Set(severities)
  return SEVERITIES.find((severity) => present.has(severity)) ?? null
}
