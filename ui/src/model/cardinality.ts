/** How near to a limit something is. */

import type { Severity } from './types'

export const WARNED_AT = 0.8
export const FULL_AT = 0.95

/** 0 to 1; null where there is no limit. */
export function shareOf(count: number, most: number): number | null {
  return most > 0 ? Math.min(1, count / most) : null
}

export function toneOf(share: number | null): Severity | null {
  if (share === null || share < WARNED_AT) return null
  return share < FULL_AT ? 'warning' : 'critical'
}
