/** Which time a page shows, and in which steps. */

export interface Span {
  key: string
  label: string
  ms: number
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE

export const SPANS: readonly Span[] = [
  { key: '15m', label: '15 min', ms: 15 * MINUTE },
  { key: '1h', label: '1 h', ms: HOUR },
  { key: '6h', label: '6 h', ms: 6 * HOUR },
  { key: '24h', label: '24 h', ms: 24 * HOUR },
  { key: '7d', label: '7 d', ms: 168 * HOUR },
]

export const DEFAULT_SPAN = SPANS[1] as Span

export function spanOf(key: string | null | undefined): Span {
  return SPANS.find((span) => span.key === key) ?? DEFAULT_SPAN
}

/** Either the last `ms` up to now, or (zoomed) a fixed stretch. */
export interface TimeWindow {
  start: number
  end: number
  live: boolean
}

const STEPS_S = [1, 2, 5, 10, 15, 20, 30, 60, 90, 120, 180, 300, 600, 900, 1_200, 1_800, 2_400, 3_600, 7_200, 21_600]
const POINTS_MAX = 300

/**
 * The finest round step that needs no more than 300 points.
 *
 * It is a multiple of the sampling interval where that is known, so that every step holds as many samples
 * as the next and a counter's increase does not flicker.
 */
export function stepFor(spanMs: number, intervalMs = 0): number {
  const fitting = STEPS_S.map((seconds) => seconds * 1000).filter(
    (step) => spanMs / step <= POINTS_MAX && step >= intervalMs,
  )
  const whole = fitting.find((step) => intervalMs === 0 || step % intervalMs === 0)
  return whole ?? fitting[0] ?? Math.ceil(spanMs / POINTS_MAX)
}

/** The window's start and end on the step's grid: the running step is always inside. */
export function alignedWindow(endMs: number, spanMs: number, stepMs: number): { start: number; end: number } {
  const end = (Math.floor(endMs / stepMs) + 1) * stepMs
  return { start: end - Math.ceil(spanMs / stepMs) * stepMs, end }
}
