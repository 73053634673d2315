/** Answers of `/api/v1/query` and `/api/v1/query_range`, and what a chart and a table make of them. */
import { labelsKey } from './labels'
import type { Frame, Values } from './frame'
import type { Labels } from './types'

/** Seconds and the number as text, so that NaN and the infinities can be told. */
export type Point = [number, string]

export interface SeriesPoints {
  metric: Labels
  value?: Point
  values?: Point[]
}

export type QueryData =
  | { resultType: 'matrix'; result: SeriesPoints[] }
  | { resultType: 'vector'; result: SeriesPoints[] }
  | { resultType: 'scalar'; result: Point }
  | { resultType: 'string'; result: Point }

/** Where the series of one selector came from. */
export interface ReadSource {
  how: string
  series: number
  samples: number
  seconds: number
  resolution: string
}

export interface Explained {
  stages: Record<string, number>
  selectors: { selector: string; function: string; sources: ReadSource[] }[]
}

export interface QueryAnswer {
  data: QueryData
  warnings?: string[]
  infos?: string[]
  explain?: Explained
}

export interface Row {
  labels: Labels
  text: string
}

/** NaN and the infinities cannot be drawn. */
export function numberOf(text: string): number | null {
  const value = Number(text === '+Inf' ? 'Infinity' : text)
  return Number.isFinite(value) ? value : null
}

/** A chart of a range answer: `startMs` and `stepMs` are those that were asked for. */
export function chartFrame(data: QueryData, startMs: number, endMs: number, stepMs: number): Frame {
  const count = Math.floor((endMs - startMs) / stepMs) + 1
  const times = Array.from({ length: count }, (_, at) => startMs + at * stepMs)
  if (data.resultType !== 'matrix') return { stepMs, times, series: [] }
  const series = data.result.map(({ metric, values = [] }) => {
    const line: Values = Array<number | null>(count).fill(null)
    for (const [seconds, text] of values) {
      const at = Math.round((seconds * 1000 - startMs) / stepMs)
      if (at >= 0 && at < count) line[at] = numberOf(text)
    }
    const counts = line.map((value) => (value === null ? 0 : 1))
    return { key: labelsKey(metric), labels: metric, min: line, avg: line, max: line, count: counts }
  })
  return { stepMs, times, series }
}

/** A table of an instant answer; of a range of samples the newest is told, with how many there are. */
export function tableRows(data: QueryData): Row[] {
  if (data.resultType === 'scalar' || data.resultType === 'string') return [{ labels: {}, text: data.result[1] }]
  return data.result.map(({ metric, value, values = [] }) => ({
    labels: metric,
    text: value?.[1] ?? `${values.at(-1)?.[1] ?? ''} (${values.length} samples)`,
  }))
}

/** `1:7: parse error: …`, as the server says where an expression is wrong; the offset counts characters from 0. */
export function errorPlace(message: string, text: string): { offset: number } | null {
  const found = /^(\d+):(\d+): /.exec(message)
  if (found === null) return null
  const line = Number(found[1])
  const lines = text.split('\n')
  const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0)
  return { offset: Math.min(text.length, before + Number(found[2]) - 1) }
}
