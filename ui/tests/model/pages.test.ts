import { expect, test } from 'vitest'
import { byUrgency, placeOf } from '../../src/model/alert'
import { changesOf } from '../../src/model/audit'
import { PANELS, viewsWithData } from '../../src/model/panels'
import { atLeast } from '../../src/model/roles'
import { hashOf, parseRoute } from '../../src/model/route'
import { checkDraft, holdText, thresholds, type RuleDraft } from '../../src/model/rule'
import { worstSeverity } from '../../src/model/severity'
import { alignedWindow, spanOf, SPANS, stepFor } from '../../src/model/span'
import { alertOf, ruleOf } from '../support/shapes'

test('an address survives being written and read', () => {
  const hash = hashOf(['metrics', 'a/b c'], { range: '6h', host: null, match: 'mount="/"' })
  const route = parseRoute(hash)
  expect(route.path).toEqual(['metrics', 'a/b c'])
  expect(Object.fromEntries(route.query)).toEqual({ range: '6h', match: 'mount="/"' })
})

test.each(['', '#', '#/', '#/?range=1h'])('%j is the overview', (hash) => {
  expect(parseRoute(hash).path).toEqual([])
})

test('a broken address is taken as it is', () => {
  expect(parseRoute('#/metrics/%zz').path).toEqual(['metrics', '%zz'])
})

test.each(SPANS.map((span) => [span.label, span.ms] as const))('%s has at most 300 points, each of whole readings', (_, ms) => {
  const step = stepFor(ms, 5_000)
  expect(ms / step).toBeLessThanOrEqual(300)
  expect(ms / step).toBeGreaterThan(150)
  expect(step % 5_000).toBe(0)
})

test('a span that nobody knows is an hour', () => {
  expect(spanOf('3y').key).toBe('1h')
})

test('the running step is inside the window', () => {
  expect(alignedWindow(1_234_567, 60_000, 10_000)).toEqual({ start: 1_180_000, end: 1_240_000 })
})

const DRAFT: RuleDraft = {
  name: ' Full disk ',
  kind: 'metric',
  expr: '',
  metric_name: 'system.disk.usage',
  matchers: 'mount="/"\nhost!="x"',
  condition: '>',
  threshold: '85',
  duration: '1h',
  severity: 'warning',
  description: '',
  enabled: true,
}

test('a good draft becomes a rule', () => {
  expect(checkDraft(DRAFT)).toEqual({
    body: {
      name: 'Full disk',
      expr: '',
      metric_name: 'system.disk.usage',
      matchers: ['mount="/"', 'host!="x"'],
      condition: '>',
      threshold: 85,
      duration: 3600,
      severity: 'warning',
      description: '',
      enabled: true,
    },
  })
})

test.each([
  ['name', { name: ' ' }],
  ['metric_name', { metric_name: '' }],
  ['matchers', { matchers: 'mount' }],
  ['threshold', { threshold: '' }],
  ['threshold', { threshold: '8O' }],
  ['duration', { duration: 'soon' }],
])('what is wrong is told at the field %s', (field, change) => {
  const checked = checkDraft({ ...DRAFT, ...change })
  expect('errors' in checked ? Object.keys(checked.errors) : []).toEqual([field])
})

test('a draft that is an expression needs no metric and no threshold', () => {
  const draft: RuleDraft = { ...DRAFT, kind: 'expression', expr: ' up == 0 ', metric_name: '', matchers: 'x', threshold: '' }
  const { name, duration, severity, description, enabled } = { ...DRAFT, name: 'Full disk', duration: 3600 }
  expect(checkDraft(draft)).toEqual({ body: { name, expr: 'up == 0', duration, severity, description, enabled } })
  expect(checkDraft({ ...draft, expr: ' ' })).toHaveProperty('errors.expr')
})

test('a rule holds for a while or fires at once', () => {
  expect([holdText(0), holdText(300)]).toEqual(['at once', 'for 5 min'])
})

test('a chart has the lines of the enabled rules of its metric, each once', () => {
  const rules = [
    ruleOf(),
    ruleOf({ id: 2, name: 'again' }),
    ruleOf({ id: 3, threshold: 95, severity: 'critical' }),
    ruleOf({ id: 4, threshold: 70, enabled: false }),
    ruleOf({ id: 5, metric_name: 'other' }),
  ]
  expect(thresholds(rules, 'system.cpu.usage').map(({ value, severity }) => [value, severity])).toEqual([
    [80, 'warning'],
    [95, 'critical'],
  ])
})

test('what is worse and nobody cares for stands first', () => {
  const alerts = [
    alertOf({ id: 1, severity: 'info' }),
    alertOf({ id: 2, severity: 'critical', acknowledged: true }),
    alertOf({ id: 3, severity: 'warning' }),
    alertOf({ id: 4, severity: 'warning', started_at: '2026-11-23T11:00:00.000Z' }),
  ]
  expect(alerts.sort(byUrgency).map(({ id }) => id)).toEqual([4, 3, 1, 2])
})

test('an alert says where it is', () => {
  expect(placeOf({ labels: { __name__: 'x', host: 'a', mount: '/' } })).toBe('host a, mount /')
})

test('the worst severity wins', () => {
  expect([worstSeverity(['info', 'critical', 'warning']), worstSeverity([])]).toEqual(['critical', null])
})

test.each([
  ['viewer', 'viewer', true],
  ['viewer', 'operator', false],
  ['admin', 'editor', true],
  ['writer', 'viewer', false],
] as const)('a %s may do what a %s may: %s', (role, needed, may) => {
  expect(atLeast(role, needed)).toBe(may)
})

test('only panels with data have views', () => {
  const names = new Set(['system.cpu.usage', 'system.cpu.load_average.1m'])
  expect(PANELS.filter((panel) => viewsWithData(panel, names).length > 0).map(({ key }) => key)).toEqual(['cpu', 'load'])
})

test('the audit log shows what differs', () => {
  expect(changesOf({ enabled: true, name: 'a' }, { enabled: false, name: 'a', tags: { x: '1' } })).toEqual([
    { field: 'enabled', before: 'true', after: 'false' },
    { field: 'tags', before: null, after: '{"x":"1"}' },
  ])
  expect(changesOf(null, { name: 'a' })).toEqual([{ field: 'name', before: null, after: 'a' }])
})
