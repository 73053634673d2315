import { expect, test } from 'vitest'
import { equalMatcher, isMatcher, labelsKey, seriesNames, splitMatchers } from '../../src/model/labels'

test('the order of labels does not matter', () => {
  expect(labelsKey({ a: '1', b: '2' })).toBe(labelsKey({ b: '2', a: '1' }))
})

test.each([
  ['what all share is left out', [{ host: 'a', mount: '/' }, { host: 'a', mount: '/srv' }], ['/', '/srv']],
  [
    'one label that tells them apart is enough',
    [
      { device: 'vda', fstype: 'ext4', mount: '/' },
      { device: 'vdb', fstype: 'xfs', mount: '/srv' },
    ],
    ['/', '/srv'],
  ],
  [
    'two where one is not',
    [
      { interface: 'eth0', direction: 'receive' },
      { interface: 'eth0', direction: 'transmit' },
      { interface: 'eth1', direction: 'receive' },
    ],
    ['eth0 · receive', 'eth0 · transmit', 'eth1 · receive'],
  ],
  ['a single one is called after what it is about', [{ host: 'a', mount: '/' }], ['/']],
  ['a single one about nothing has no name', [{ host: 'a' }], ['']],
])('%s', (_, all, names) => {
  expect(seriesNames(all as Record<string, string>[])).toEqual(names)
})

test.each(['/', 'a "quoted" b', 'back\\slash', 'two\nlines'])('%j survives being a matcher', (value) => {
  const matcher = equalMatcher('label', value)
  expect(isMatcher(matcher)).toBe(true)
  expect(splitMatchers(`${matcher}, x="1"`)).toEqual([matcher, 'x="1"'])
})

test('commas inside quotes do not part matchers', () => {
  expect(splitMatchers('a=~"x,y", b="c"\n\nd!="e"')).toEqual(['a=~"x,y"', 'b="c"', 'd!="e"'])
})

test.each(['mount="/"', 'device=~"sd.*"', 'a!=b', 'cpu.mode="user"'])('%s is a matcher', (text) => {
  expect(isMatcher(text)).toBe(true)
})

test.each(['mount', '="x"', 'a="x', 'a==b c'])('%s is none', (text) => {
  expect(isMatcher(text)).toBe(false)
})

test('series of several metrics are told apart by their names first', () => {
  const all = [
    { __name__: 'up', job: 'a' },
    { __name__: 'down', job: 'a' },
    { __name__: 'up', job: 'b' },
  ]
  expect(seriesNames(all)).toEqual(['up · a', 'down · a', 'up · b'])
})
