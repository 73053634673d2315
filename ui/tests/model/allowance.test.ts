import { expect, test } from 'vitest'
import { allowanceBounds, allowanceText, readAllowance } from '../../src/model/allowance'

test.each([
  [{ labels: {}, rate: null, series_max: null }],
  [{ labels: { team: 'web', site: 'fra 1' }, rate: 1000, series_max: 5 }],
  [{ labels: { note: 'a, "b" \\ c' }, rate: null, series_max: 1 }],
])('what is shown for changing is read back as it was', (allowance) => {
  expect(readAllowance(allowanceText(allowance))).toEqual({ allowance, faults: {} })
})

test('numbers may be typed with separators', () => {
  const { allowance } = readAllowance({ labels: '', rate: '10,000', seriesMax: '5 000' })
  expect(allowance).toEqual({ labels: {}, rate: 10_000, series_max: 5_000 })
})

test.each(['many', '0', '-1', '1.5'])('%s is no number of series', (seriesMax) => {
  expect(readAllowance({ labels: '', rate: '', seriesMax }).faults.series_max).toBeDefined()
})

test.each(['team', 'team=', '=web'])('%s is no label', (labels) => {
  expect(readAllowance({ labels, rate: '', seriesMax: '' }).faults.labels).toContain(labels)
})

test('bounds are told in a few words', () => {
  expect(allowanceBounds({ rate: 1000, series_max: 1 })).toBe('1,000 samples/s · 1 series')
  expect(allowanceBounds({ rate: null, series_max: null })).toBe('')
})
