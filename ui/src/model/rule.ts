import { isMatcher, splitMatchers } from './labels'
import { formatDuration, parseDuration } from './format'
import type { Condition, NewRule, Rule, Severity } from './types'

export const CONDITIONS: readonly { condition: Condition; words: string }[] = [
  { condition: '>', words: 'is above' },
  { condition: '>=', words: 'is at least' },
  { condition: '<', words: 'is below' },
  { condition: '<=', words: 'is at most' },
  { condition: '==', words: 'is exactly' },
  { condition: '!=', words: 'is not' },
]

/** A rule as it is being typed. */
export interface RuleDraft {
  name: string
  kind: 'metric' | 'expression'
  expr: string
  metric_name: string
  matchers: string
  condition: Condition
  threshold: string
  duration: string
  severity: Severity
  description: string
  enabled: boolean
}

/** What is sent to the server: all matchers as text, so that none is there twice. */
export type RuleBody = Partial<NewRule> & Pick<NewRule, 'name'>

export type FieldErrors = Partial<Record<string, string>>

/** The rule to send, or what to correct first, by field. The server checks again. */
export function checkDraft(draft: RuleDraft): { body: RuleBody } | { errors: FieldErrors } {
  const errors: FieldErrors = {}
  if (draft.name.trim() === '') errors['name'] = 'Give the rule a name.'
  const expression = draft.kind === 'expression'
  if (expression && draft.expr.trim() === '') errors['expr'] = 'Write what is wrong in PromQL, like up == 0.'
  if (!expression && draft.metric_name.trim() === '') errors['metric_name'] = 'Choose the metric that the rule watches.'
  const matchers = splitMatchers(draft.matchers)
  const wrong = matchers.find((one) => !isMatcher(one))
  if (!expression && wrong !== undefined) errors['matchers'] = `${wrong} is not a matcher; write it like mount="/" or device=~"sd.*".`
  const threshold = Number(draft.threshold)
  if (!expression && (draft.threshold.trim() === '' || !Number.isFinite(threshold))) errors['threshold'] = 'Give a number.'
  const duration = parseDuration(draft.duration)
  if (duration === null) errors['duration'] = 'Write a duration like 30s, 5m or 1h30m; 0 fires at once.'
  if (Object.keys(errors).length > 0 || duration === null) return { errors }
  return {
    body: {
      name: draft.name.trim(),
      ...(expression
        ? { expr: draft.expr.trim() }
        : { expr: '', metric_name: draft.metric_name.trim(), matchers, condition: draft.condition, threshold }),
      duration,
      severity: draft.severity,
      description: draft.description.trim(),
      enabled: draft.enabled,
    },
  }
}

/** `for 5 min`, `at once`. */
export function holdText(seconds: number): string {
  return seconds === 0 ? 'at once' : `for ${formatDuration(seconds)}`
}

/** The line that a chart of `metric` should show for each enabled rule, each value and severity once. */
export function thresholds(rules: readonly Rule[], metric: string): Threshold[] {
  const seen = new Map<string, Threshold>()
  for (const rule of rules) {
    if (!rule.enabled || rule.metric_name !== metric || rule.threshold === null) continue
    const key = `${rule.threshold} ${rule.severity}`
    if (!seen.has(key)) seen.set(key, { value: rule.threshold, severity: rule.severity, name: rule.name })
  }
  return [...seen.values()]
}

export interface Threshold {
  value: number
  severity: Severity
  name: string
}
