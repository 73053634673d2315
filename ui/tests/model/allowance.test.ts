import { expect, test } from 'vitest'
import { allowanceBounds, allowanceFor, allowanceText, readAllowance } from '../../src/model/allowance'

test.each([
  [{ labels: {}, rate: null, series_max: null, reads: [] }],
  [{ labels: { team: 'web', site: 'fra 1' }, rate: 1000, series_max: 5, reads: [] }],
  [{ labels: { note: 'a, "b" \\ c' }, rate: null, series_max: 1, reads: ['team="web"', 'env!="a, b"'] }],
])('what is shown for changing is read back as it was', (allowance) => {
  expect(readAllowance(allowanceText(allowance))).toEqual({ allowance, faults: {} })
})

test('numbers may be typed with separators', () => {
  const { allowance } = readAllowance({ labels: '', rate: '10,000', seriesMax: '5 000', reads: '' })
  expect(allowance).toEqual({ labels: {}, rate: 10_000, series_max: 5_000, reads: [] })
})

test.each(['many', '0', '-1', '1.5'])('%s is no number of series', (seriesMax) => {
  expect(readAllowance({ labels: '', rate: '', seriesMax, reads: '' }).faults.series_max).toBeDefined()
})

test.each(['team', 'team=', '=web'])('%s is no label', (labels) => {
  expect(readAllowance({ labels, rate: '', seriesMax: '', reads: '' }).faults.labels).toContain(labels)
})

test('bounds are told in a few words', () => {
  expect(allowanceBounds({ rate: 1000, series_max: 1 })).toBe('1,000 samples/s · 1 series')
  expect(allowanceBounds({ rate: null, series_max: null })).toBe('')
})

test('what is no matcher is told', () => {
  expect(readAllowance({ labels: '', rate: '', seriesMax: '', reads: 'team="web", env' }).faults.reads).toContain('env')
})

test('a role is held to what it does', () => {
  const all = { labels: 'a=b', rate: '1', seriesMax: '2', reads: 'c="d"' }
  expect(allowanceFor('writer', all)).toEqual({ ...all, reads: '' })
  expect(allowanceFor('viewer', all)).toEqual({ labels: '', rate: '', seriesMax: '', reads: 'c="d"' })
  expect(allowanceFor('editor', all).reads + allowanceFor('editor', all).labels).toBe('')
})
