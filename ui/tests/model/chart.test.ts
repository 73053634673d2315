import { expect, test } from 'vitest'
import { axisRange, drawnExtent, nearest, picture, type PictureOptions } from '../../src/model/chart'
import { frameOf } from '../../src/model/frame'
import type { RangeAnswer } from '../../src/model/types'

const PLAIN: PictureOptions = { stacked: false, hidden: new Set(), title: 'CPU' }

function series(host: string, avg: (number | null)[], spread = 0): RangeAnswer['series'][number] {
  const moved = (by: number): (number | null)[] => avg.map((value) => (value === null ? null : value + by))
  return { labels: { host }, avg, min: moved(-spread), max: moved(spread) }
}

function frame(...all: RangeAnswer['series']) {
  return frameOf({ step_ms: 1000, resolution: 'raw', times: [0, 1000, 2000], series: all })
}

test('a band is drawn where the steps hide something', () => {
  expect(picture(frame(series('a', [1, 2, 3])), PLAIN).banded).toBe(false)
  expect(picture(frame(series('a', [1, 2, 3], 0.5)), PLAIN).series[0]).toMatchObject({ low: [0.5, 1.5, 2.5], high: [1.5, 2.5, 3.5] })
})

test('many series have no bands', () => {
  const many = Array.from({ length: 7 }, (_, at) => series(`h${at}`, [1, 2, 3], 1))
  expect(picture(frame(...many), PLAIN).banded).toBe(false)
})

test('stacked series are drawn on top of one another and keep what they say', () => {
  const drawn = picture(frame(series('a', [1, 2, 3]), series('b', [10, null, 30])), { ...PLAIN, stacked: true }).series
  expect(drawn.map((one) => one.line)).toEqual([
    [1, 2, 3],
    [11, null, 33],
  ])
  expect(drawn[1]?.values).toEqual([10, null, 30])
})

test('a series keeps its colour while others are hidden', () => {
  const whole = frame(series('a', [1, 1, 1]), series('b', [2, 2, 2]))
  const rest = picture(whole, { ...PLAIN, hidden: new Set([whole.series[0]?.key ?? '']) })
  expect(rest.series.map(({ name, colour }) => ({ name, colour }))).toEqual([{ name: 'b', colour: 1 }])
})

test('a series without a name of its own is called like the chart', () => {
  expect(picture(frame(series('a', [1, 2, 3])), PLAIN).series[0]?.name).toBe('CPU')
})

test('only what is seen counts for the axis', () => {
  expect(drawnExtent(picture(frame(series('a', [100, 2, 3])), PLAIN), 1500, 2500)).toEqual([2, 3])
})

const line = (value: number) => ({ value, severity: 'warning' as const, name: '' })

test.each([
  ['nothing to show', null, 100, [], [0, 100]],
  ['percent', [3, 20], 100, [], [0, 100]],
  ['more than the top', [3, 130], 100, [], [0, 130]],
  ['from zero', [2, 10], null, [], [0, 11.2]],
  ['far from zero', [1000, 1010], null, [], [998.8, 1011.2]],
  ['a near threshold is inside', [2, 10], null, [line(20)], [0, 22.4]],
  ['a far threshold is not', [2, 10], null, [line(2000)], [0, 11.2]],
])('axis: %s', (_, drawn, top, lines, expected) => {
  const [low, high] = axisRange(drawn as [number, number] | null, top, lines as ReturnType<typeof line>[])
  expect(low).toBeCloseTo(expected[0] ?? NaN)
  expect(high).toBeCloseTo(expected[1] ?? NaN)
})

test('there is no room above what cannot be', () => {
  expect(axisRange([3, 99], null, [], 100)[1]).toBe(100)
})

test('the nearest value counts within reach', () => {
  expect([nearest([1, null, null, 2], 1, 1), nearest([1, null, null, 2], 2, 0), nearest([null], 0, 5)]).toEqual([0, null, null])
})
