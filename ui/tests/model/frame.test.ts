import { expect, test } from 'vitest'
import { bridged, combined, frameOf, hasData, isolated, merged, newest, rates, slid, usualDistance } from '../../src/model/frame'
import type { RangeAnswer } from '../../src/model/types'

const STEP = 10_000

function answer(avg: (number | null)[], labels = { host: 'a' }): RangeAnswer {
  return { step_ms: STEP, resolution: 'raw', times: avg.map((_, at) => at * STEP), series: [{ labels, min: avg, avg, max: avg }] }
}

test('a live value joins the running step as a mean', () => {
  const frame = merged(frameOf(answer([1, 10])), [
    { labels: { host: 'a' }, time: 12_000, value: 20 },
    { labels: { host: 'a' }, time: 17_000, value: 6 },
  ])
  expect(frame.series[0]).toMatchObject({ avg: [1, 12], min: [1, 6], max: [1, 20] })
})

test('merging leaves the frame before as it was', () => {
  const before = frameOf(answer([1, 10]))
  merged(before, [{ labels: { host: 'a' }, time: 12_000, value: 20 }])
  expect(before.series[0]?.avg).toEqual([1, 10])
})

test('samples outside the window and without a number change nothing', () => {
  const before = frameOf(answer([1, 10]))
  const after = merged(before, [
    { labels: { host: 'a' }, time: -1, value: 5 },
    { labels: { host: 'a' }, time: 20_000, value: 5 },
    { labels: { host: 'a' }, time: 11_000, value: null },
  ])
  expect(after).toBe(before)
})

test('a new series joins with an empty past', () => {
  const frame = merged(frameOf(answer([1, 2])), [{ labels: { host: 'b' }, time: 15_000, value: 7 }])
  expect(frame.series.map((one) => [one.labels['host'], one.avg])).toEqual([
    ['a', [1, 2]],
    ['b', [null, 7]],
  ])
})

test('the window slides by whole steps and keeps its length', () => {
  const frame = slid(frameOf(answer([1, 2, 3])), 42_000)
  expect(frame.times).toEqual([20_000, 30_000, 40_000])
  expect(frame.series[0]?.avg).toEqual([3, null, null])
})

test('a window that is up to date stays the same', () => {
  const frame = frameOf(answer([1, 2, 3]))
  expect(slid(frame, 29_999)).toBe(frame)
})

test('a window that was asleep for long comes back empty', () => {
  const frame = slid(frameOf(answer([1, 2, 3])), 1_000_000)
  expect(frame.times).toEqual([980_000, 990_000, 1_000_000])
  expect(hasData(frame)).toBe(false)
})

test('a counter becomes its increase per second', () => {
  expect(rates(frameOf(answer([100, 150, 250]))).series[0]?.avg).toEqual([null, 5, 10])
})

test('a counter that fell was restarted and has no rate there', () => {
  expect(rates(frameOf(answer([100, 20, 40]))).series[0]?.avg).toEqual([null, null, 2])
})

test('a silence in a counter is shared by its steps', () => {
  expect(rates(frameOf(answer([100, null, null, 400]))).series[0]?.avg).toEqual([null, null, null, 10])
})

test('several metrics in one chart are told apart by a label', () => {
  const one = frameOf(answer([1]))
  const both = combined([
    { frame: one, label: 'over', value: '1 min' },
    { frame: one, label: 'over', value: '5 min' },
  ])
  expect(both?.series.map((series) => series.labels['over'])).toEqual(['1 min', '5 min'])
})

test('the newest value may not be too old', () => {
  expect([newest([1, 2, null]), newest([1, null, null], 2), newest([])]).toEqual([2, null, null])
})

test('a missing step is bridged, a long silence is a gap', () => {
  expect(bridged([1, null, 2, 3, 4, null, null, null, 5])).toEqual([1, undefined, 2, 3, 4, null, null, null, 5])
})

test('sparse samples are joined as they usually come', () => {
  const values = [1, null, null, 2, null, null, 3]
  expect(usualDistance(values)).toBe(3)
  expect(bridged(values)).toEqual([1, undefined, undefined, 2, undefined, undefined, 3])
})

test('values with gaps on both sides are dots', () => {
  expect(isolated([1, null, 2, 3, null, 4])).toEqual([0, 5])
  expect(isolated([1, undefined, 2])).toEqual([])
})
