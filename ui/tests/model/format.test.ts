import { expect, test } from 'vitest'
import {
  counted,
  durationText,
  formatAgo,
  formatDuration,
  formatValue,
  onScale,
  parseDuration,
  perSecond,
  scaleFor,
  significant,
} from '../../src/model/format'

test.each([
  [93.456, '%', '93.5 %'],
  [0.423, '1', '42.3 %'],
  [0, 'By', '0 B'],
  [512, 'By', '512 B'],
  [1536, 'By', '1.5 KiB'],
  [1024 ** 3 * 7.25, 'By', '7.25 GiB'],
  [3_200_000, 'By/s', '3.05 MiB/s'],
  [0.00042, 's', '420 µs'],
  [0.25, 's', '250 ms'],
  [3, 's', '3 s'],
  [5400, 's', '90 min'],
  [250, 'ms', '250 ms'],
  [42, '{packet}', '42 packet'],
  [12_345, '{packet}/s', '12.3 kpacket/s'],
  [61.25, 'Cel', '61.3 °C'],
  [1234, '', '1,234'],
  [1_500_000, '', '1.5 M'],
  [-3, '', '-3'],
])('%d in %s reads %s', (value, unit, text) => {
  expect(formatValue(value, unit)).toBe(text)
})

test('what is no number reads as a dash', () => {
  expect([null, undefined, NaN].map((value) => formatValue(value, '%'))).toEqual(['–', '–', '–'])
  expect(formatValue(Infinity, 'By')).toBe('∞')
})

test('all ticks of an axis share one unit', () => {
  const scale = scaleFor('By', 3 * 1024 ** 2)
  expect([0, 1024 ** 2, 3 * 1024 ** 2].map((tick) => onScale(tick, scale))).toEqual(['0 MiB', '1 MiB', '3 MiB'])
})

test.each([
  [0.12345, '0.123'],
  [1.2345, '1.23'],
  [123.45, '123'],
  [12345, '12,345'],
  [0.0000123, '1.23e-5'],
])('%d has three digits', (value, text) => {
  expect(significant(value)).toBe(text)
})

test('a rate of seconds is a share, a rate of anything else is per second', () => {
  expect([perSecond('s'), perSecond('By'), perSecond('{packet}')]).toEqual(['1', 'By/s', '{packet}/s'])
})

test.each([
  [0, '0 s'],
  [0.25, '250 ms'],
  [45, '45 s'],
  [300, '5 min'],
  [5400, '1 h 30 min'],
  [93_784, '1 d 2 h'],
  [86_405, '1 d'],
])('%d seconds last %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text)
})

test.each([
  ['90', 90],
  ['5m', 300],
  ['1h30m', 5400],
  ['1 h 30 min', 5400],
  ['1.5d', 129_600],
  ['0', 0],
  ['', null],
  ['soon', null],
  ['5m later', null],
  ['-5m', null],
])('%j as a duration', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds)
})

test.each([0, 30, 300, 5400, 86_400, 90_061])('%d seconds survive being written and read', (seconds) => {
  expect(parseDuration(durationText(seconds))).toBe(seconds)
})

test('times are told as they are felt', () => {
  const now = 1_000_000_000
  expect([now, now - 45_000, now - 200_000, now - 2 * 86_400_000, now + 90_000].map((at) => formatAgo(at, now))).toEqual([
    'just now',
    '45 s ago',
    '3 min ago',
    '2 d ago',
    'in 1 min',
  ])
})

test('counts carry their noun', () => {
  expect([counted(1, 'rule'), counted(1200, 'rule'), counted(2, 'series', 'series')]).toEqual(['1 rule', '1,200 rules', '2 series'])
})
