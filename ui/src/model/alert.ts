import { severityRank } from './severity'
import type { Alert } from './types'

/** Not yet acknowledged first, then the worst, then the newest. */
export function byUrgency(one: Alert, other: Alert): number {
  return (
    Number(one.acknowledged) - Number(other.acknowledged) ||
    severityRank(one.severity) - severityRank(other.severity) ||
    Date.parse(other.started_at) - Date.parse(one.started_at) ||
    other.id - one.id
  )
}

/** Where the alert is about, for a short note: the label values. */
export function placeOf(alert: Pick<Alert, 'labels'>): string {
  return Object.entries(alert.labels)
    .filter(([name]) => name !== '__name__')
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}
