import { describe, expect, it } from 'vitest'
import { chartFrame, errorPlace, numberOf, tableRows } from '../../src/model/query'

describe('a range answer as a chart', () => {
  it('puts each point at its step and leaves the others empty', () => {
    const frame = chartFrame(
      { resultType: 'matrix', result: [{ metric: { a: 'b' }, values: [[10, '1'], [30, 'NaN'], [40, '2.5']] }] },
      10_000,
      40_000,
      10_000,
    )
    expect(frame.times).toEqual([10_000, 20_000, 30_000, 40_000])
    expect(frame.series.map((one) => one.avg)).toEqual([[1, null, null, 2.5]])
    expect(frame.series[0]?.count).toEqual([1, 0, 0, 1])
  })

  it('has no series where the answer is no matrix', () => {
    expect(chartFrame({ resultType: 'scalar', result: [1, '2'] }, 0, 1_000, 1_000).series).toEqual([])
  })
})

describe('an instant answer as a table', () => {
  it('keeps the text of a value, also of one that is no number', () => {
    expect(tableRows({ resultType: 'vector', result: [{ metric: { a: 'b' }, value: [1, '+Inf'] }] })).toEqual([
      { labels: { a: 'b' }, text: '+Inf' },
    ])
    expect(tableRows({ resultType: 'scalar', result: [1, 'NaN'] })).toEqual([{ labels: {}, text: 'NaN' }])
  })

  it('tells the newest of many samples', () => {
    const answer = { resultType: 'matrix' as const, result: [{ metric: {}, values: [[1, '3'], [2, '4']] as [number, string][] }] }
    expect(tableRows(answer)).toEqual([{ labels: {}, text: '4 (2 samples)' }])
  })
})

describe('numbers', () => {
  it('are null where they cannot be drawn', () => {
    expect(['1', '-0.5', 'NaN', '+Inf', '-Inf'].map(numberOf)).toEqual([1, -0.5, null, null, null])
  })
})

describe('the place of an error', () => {
  it('is found by line and column', () => {
    expect(errorPlace('2:3: parse error: unexpected )', 'sum(\n  ))')).toEqual({ offset: 7 })
    expect(errorPlace('1:1: parse error: no expression found in input', '')).toEqual({ offset: 0 })
  })

  it('is nowhere in other errors', () => {
    expect(errorPlace('query timed out', 'up')).toBeNull()
  })
})
