/** What the chart component needs to know beyond the frame: lines, bands and where the axis ends. */
import { bridged, isolated, usualDistance, type Frame } from './frame'
import { seriesNames } from './labels'
import { scaleFor, type Scale } from './format'
import type { Threshold } from './rule'

export type Line = (number | null | undefined)[]

/** One drawn series. `values` are what it says, `line` is where it is drawn (they differ where series are stacked). */
export interface Drawn {
  key: string
  name: string
  /** Position among the palette's colours, steady while other series are hidden. */
  colour: number
  values: readonly (number | null)[]
  line: Line
  /** So many steps away a value is still the one that belongs here: for series with fewer samples than steps. */
  reach: number
  dots: number[]
  low: Line | null
  high: Line | null
}

export interface Picture {
  times: number[]
  series: Drawn[]
  banded: boolean
  stacked: boolean
}

export interface PictureOptions {
  stacked: boolean
  hidden: ReadonlySet<string>
  title: string
}

const BANDS_MAX = 6

/** A band between the lowest and the highest value of each step pays where the steps hide something. */
export function picture(frame: Frame, options: PictureOptions): Picture {
  const names = seriesNames(frame.series.map((one) => one.labels))
  const shown = frame.series
    .map((one, at) => ({ one, colour: at, name: names[at] || options.title }))
    .filter(({ one }) => !options.hidden.has(one.key))
  const banded = !options.stacked && shown.length <= BANDS_MAX && shown.some(({ one }) => spread(one.min, one.max))
  const sums = Array<number>(frame.times.length).fill(0)
  const series = shown.map(({ one, colour, name }): Drawn => {
    const values = one.avg
    const line: Line = options.stacked ? stackedOn(sums, values) : bridged(values)
    return {
      key: one.key,
      name,
      colour,
      values,
      line,
      reach: usualDistance(values) - 1,
      dots: isolated(line),
      low: banded ? bridged(one.min) : null,
      high: banded ? bridged(one.max) : null,
    }
  })
  return { times: frame.times, series, banded, stacked: options.stacked }
}

function spread(min: readonly (number | null)[], max: readonly (number | null)[]): boolean {
  return min.some((low, at) => low !== null && low !== max[at])
}

/** Adds the values to the running sums. */
function stackedOn(sums: number[], values: readonly (number | null)[]): Line {
  return values.map((value, at) => {
    if (value === null) return null
    sums[at] = (sums[at] ?? 0) + value
    return sums[at]
  })
}

/** Smallest and largest drawn value between two moments, null where there is none. */
export function drawnExtent(picture: Picture, startMs: number, endMs: number): [number, number] | null {
  let min = Infinity
  let max = -Infinity
  const from = picture.times.findIndex((time) => time >= startMs)
  if (from < 0) return null
  for (const one of picture.series) {
    const lows = one.low ?? one.line
    const highs = one.high ?? one.line
    for (let at = Math.max(0, from - 1); at < picture.times.length && (picture.times[at] ?? 0) <= endMs; at++) {
      const low = lows[at]
      const high = highs[at]
      if (typeof low === 'number' && low < min) min = low
      if (typeof high === 'number' && high > max) max = high
    }
  }
  return min <= max ? [min, max] : null
}

/**
 * Where the axis begins and ends: from zero unless the values stay far from it, up to `top` where that is
 * given, with the thresholds inside as long as that does not flatten the values. No room is left above
 * `most`, as nothing can be there.
 */
export function axisRange(
  drawn: [number, number] | null,
  top: number | null,
  lines: readonly Threshold[],
  most: number = Infinity,
): [number, number] {
  if (drawn === null) return [0, top ?? 1]
  let [low, high] = drawn
  for (const { value } of lines) {
    if (value > high && value <= Math.max(high * 2.5, high + (high - low) * 3)) high = value
    if (value < low && value >= low - (high - low) * 3) low = value
  }
  const far = low > 0 && high - low < low * 0.1
  if (low > 0 && !(far && top === null)) low = 0
  if (top !== null) return [Math.min(low, 0), Math.max(high, top)]
  const room = (high - low || Math.abs(high) || 1) * 0.12
  return [low === 0 ? 0 : low - room, high <= most ? Math.min(high + room, most) : high + room]
}

/** Distances between the axis' ticks: bytes go in powers of two. */
export function tickSteps(unit: string): number[] | null {
  if (!unit.startsWith('By')) return null
  return Array.from({ length: 62 }, (_, power) => 2 ** power)
}

export function axisScale(unit: string, range: readonly [number, number]): Scale {
  return scaleFor(unit, Math.max(Math.abs(range[0]), Math.abs(range[1])))
}

/** The position of the nearest value, at most `reach` steps from `at`; null where there is none. */
export function nearest(values: readonly (number | null)[], at: number, reach: number): number | null {
  for (let away = 0; away <= reach; away++) {
    if (typeof values[at - away] === 'number') return at - away
    if (typeof values[at + away] === 'number') return at + away
  }
  return null
}
