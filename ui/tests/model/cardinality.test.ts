import { expect, test } from 'vitest'
import { shareOf, toneOf } from '../../src/model/cardinality'

test('a share of a limit is between nothing and all of it', () => {
  expect(shareOf(5, 10)).toBe(0.5)
  expect(shareOf(12, 10)).toBe(1)
  expect(shareOf(12, 0)).toBeNull()
})

test.each([
  [null, null],
  [0.79, null],
  [0.8, 'warning'],
  [0.95, 'critical'],
] as const)('%s of a limit is shown as %s', (share, tone) => {
  expect(toneOf(share)).toBe(tone)
})
