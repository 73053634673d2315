import type { Alert, Rule } from '../../src/model/types'

export function alertOf(change: Partial<Alert> = {}): Alert {
  return {
    id: 1,
    rule_id: 1,
    rule_name: 'High CPU Usage',
    metric_name: 'system.cpu.usage',
    condition: '>',
    threshold: 80,
    expr: '',
    source: '',
    annotations: {},
    state: 'firing',
    severity: 'warning',
    labels: { host: 'a' },
    value: 91,
    peak: 95,
    started_at: '2026-11-23T10:00:00.000Z',
    fired_at: '2026-11-23T10:05:00.000Z',
    resolved_at: null,
    changed_at: '2026-11-23T10:05:00.000Z',
    reason: 'condition held for the rule\'s duration',
    acknowledged: false,
    acknowledged_by: '',
    acknowledged_at: null,
    comment: '',
    ...change,
  }
}

export function ruleOf(change: Partial<Rule> = {}): Rule {
  return {
    id: 1,
    name: 'High CPU Usage',
    metric_name: 'system.cpu.usage',
    tags: {},
    matchers: [],
    condition: '>',
    threshold: 80,
    duration: 300,
    severity: 'warning',
    enabled: true,
    description: '',
    expr: '{"system.cpu.usage"} > 80',
    is_expression: false,
    version: 1,
    created_at: null,
    updated_at: null,
    state: 'inactive',
    alerts: 0,
    ...change,
  }
}
