import { labelsKey } from './labels'
import type { Labels, RangeAnswer, Sample } from './types'

export type Values = (number | null)[]

/** One series of a chart. `count[k]` is how many samples step k is known to hold, for a running average. */
export interface FrameSeries {
  key: string
  labels: Labels
  min: Values
  avg: Values
  max: Values
  count: number[]
}

/** A chart's window: `times[k]` is the start of step k in ms, all arrays are as long as `times`. */
export interface Frame {
  stepMs: number
  times: number[]
  series: FrameSeries[]
}

export function frameOf(answer: RangeAnswer): Frame {
  return {
    stepMs: answer.step_ms,
    times: answer.times,
    series: answer.series
      .map(({ labels, min, avg, max }) => {
        const count = avg.map((value) => (value === null ? 0 : 1))
        return { key: labelsKey(labels), labels, min, avg, max, count }
      })
      .sort((one, other) => (one.key < other.key ? -1 : 1)),
  }
}

/** A step's start counts the samples in [start, start + step). */
function stepStart(atMs: number, stepMs: number): number {
  return Math.floor(atMs / stepMs) * stepMs
}

/**
 * The frame moved on so that the step of `nowMs` is its last one, with as many steps as before.
 *
 * The same frame where there is nothing to move.
 */
export function slid(frame: Frame, nowMs: number): Frame {
  const last = frame.times.at(-1)
  if (last === undefined) return frame
  const missing = Math.floor((stepStart(nowMs, frame.stepMs) - last) / frame.stepMs)
  if (missing <= 0) return frame
  const size = frame.times.length
  const added = Math.min(missing, size)
  const end = last + missing * frame.stepMs
  const fresh = Array.from({ length: added }, (_, at) => end - (added - 1 - at) * frame.stepMs)
  const move = <T>(values: T[], empty: T): T[] => [...values.slice(added), ...Array<T>(added).fill(empty)]
  return {
    stepMs: frame.stepMs,
    times: [...frame.times.slice(added), ...fresh],
    series: frame.series.map((one) => ({
      ...one,
      min: move(one.min, null),
      avg: move(one.avg, null),
      max: move(one.max, null),
      count: move(one.count, 0),
    })),
  }
}

/** The frame with live samples in it. Samples outside its steps are left out; new series join. */
export function merged(frame: Frame, samples: readonly Sample[]): Frame {
  const first = frame.times[0]
  if (first === undefined || samples.length === 0) return frame
  const series = new Map(frame.series.map((one) => [one.key, one]))
  const copied = new Set<string>()
  for (const sample of samples) {
    const at = Math.floor((sample.time - first) / frame.stepMs)
    if (at < 0 || at >= frame.times.length || sample.value === null) continue
    const key = labelsKey(sample.labels)
    let one = series.get(key)
    if (one === undefined || !copied.has(key)) {
      one = one === undefined ? emptySeries(key, sample.labels, frame.times.length) : copyOf(one)
      series.set(key, one)
      copied.add(key)
    }
    add(one, at, sample.value)
  }
  if (copied.size === 0) return frame
  const all = [...series.values()]
  if (all.length !== frame.series.length) all.sort((one, other) => (one.key < other.key ? -1 : 1))
  return { ...frame, series: all }
}

function emptySeries(key: string, labels: Labels, size: number): FrameSeries {
  const empty = (): Values => Array<number | null>(size).fill(null)
  return { key, labels, min: empty(), avg: empty(), max: empty(), count: Array<number>(size).fill(0) }
}

function copyOf(one: FrameSeries): FrameSeries {
  return { ...one, min: [...one.min], avg: [...one.avg], max: [...one.max], count: [...one.count] }
}

function add(series: FrameSeries, at: number, value: number): void {
  const count = series.count[at] ?? 0
  const avg = series.avg[at] ?? 0
  const min = series.min[at] ?? value
  const max = series.max[at] ?? value
  series.count[at] = count + 1
  series.avg[at] = (avg * count + value) / (count + 1)
  series.min[at] = Math.min(min, value)
  series.max[at] = Math.max(max, value)
}

/**
 * A counter's increase per second, from the highest value of each step.
 *
 * A fall is a restart: that step is empty. Empty steps between two readings are bridged by their mean.
 */
export function rates(frame: Frame): Frame {
  return {
    ...frame,
    series: frame.series.map((one) => {
      const rate = rateOf(one.max, frame.stepMs)
      return { ...one, min: rate, avg: rate, max: rate }
    }),
  }
}

function rateOf(highest: Values, stepMs: number): Values {
  const out = Array<number | null>(highest.length).fill(null)
  let before = -1
  for (let at = 0; at < highest.length; at++) {
    const value = highest[at]
    if (value === null || value === undefined) continue
    const earlier = before < 0 ? null : (highest[before] ?? null)
    if (earlier !== null && value >= earlier) {
      out[at] = ((value - earlier) * 1000) / ((at - before) * stepMs)
    }
    before = at
  }
  return out
}

/** Several metrics in one chart, each series told apart by an extra label. All frames share their steps. */
export function combined(parts: readonly { frame: Frame; label: string; value: string }[]): Frame | null {
  const first = parts[0]
  if (first === undefined) return null
  return {
    ...first.frame,
    series: parts.flatMap(({ frame, label, value }) =>
      frame.series.map((one) => {
        const labels = { ...one.labels, [label]: value }
        return { ...one, labels, key: labelsKey(labels) }
      }),
    ),
  }
}

/** The newest value that is no older than the last `steps` steps. */
export function newest(values: Values, steps = values.length): number | null {
  for (let at = values.length - 1; at >= Math.max(0, values.length - steps); at--) {
    const value = values[at]
    if (value !== null && value !== undefined) return value
  }
  return null
}

/**
 * Values as the chart draws them: an empty step between neighbours is bridged (undefined), a longer silence
 * stays a gap (null). Long is more than three times the usual distance between two values.
 */
export function bridged(values: Values): (number | null | undefined)[] {
  const present = positions(values)
  const longest = Math.max(2, usualDistance(values) * 3)
  const out: (number | null | undefined)[] = [...values]
  for (let index = 1; index < present.length; index++) {
    const from = present[index - 1] ?? 0
    const to = present[index] ?? 0
    if (to - from > longest) continue
    for (let at = from + 1; at < to; at++) out[at] = undefined
  }
  return out
}

/** Steps between two values, usually: the median. 1 where there are too few to tell. */
export function usualDistance(values: readonly (number | null)[]): number {
  const present = positions(values)
  const distances = present.slice(1).map((at, index) => at - (present[index] ?? at))
  return distances.sort((one, other) => one - other)[Math.floor((distances.length - 1) / 2)] ?? 1
}

function positions(values: readonly (number | null)[]): number[] {
  return values.flatMap((value, at) => (value === null ? [] : [at]))
}

/** Positions of values with a gap on both sides: a line cannot show them, a dot can. */
export function isolated(values: readonly (number | null | undefined)[]): number[] {
  const out: number[] = []
  values.forEach((value, at) => {
    if (typeof value === 'number' && isGap(values, at - 1) && isGap(values, at + 1)) out.push(at)
  })
  return out
}

/** Undefined inside the array is a bridge, outside of it there is nothing. */
function isGap(values: readonly (number | null | undefined)[], at: number): boolean {
  return at < 0 || at >= values.length || values[at] === null
}

/** Smallest and largest value over all series, null where there is none. */
export function extent(frame: Frame): { min: number; max: number } | null {
  let min = Infinity
  let max = -Infinity
  for (const { min: low, max: high } of frame.series) {
    for (const value of low) if (value !== null && value < min) min = value
    for (const value of high) if (value !== null && value > max) max = value
  }
  return min <= max ? { min, max } : null
}

export function hasData(frame: Frame): boolean {
  return frame.series.some((one) => one.avg.some((value) => value !== null))
}
