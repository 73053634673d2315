import { isMatcher, splitMatchers } from './labels'
import type { FieldErrors } from './rule'
import type { RetentionItem, RetentionPolicy } from './types'

/** Resolutions from the finest to the coarsest, as the server names them. */
export const RESOLUTIONS = [
  { key: 'raw', name: 'Samples' },
  { key: 'five_minutes', name: '5-minute roll-ups' },
  { key: 'hours', name: 'Hourly roll-ups' },
] as const

export type ResolutionKey = (typeof RESOLUTIONS)[number]['key']

/** A policy as it is being typed; an empty length is the default's. */
export type PolicyDraft = { name: string; matchers: string } & Record<ResolutionKey, string>

const LENGTH = /^(\d+(\.\d+)?(ms|s|m|h|d|w|y))+$/

/** The policy to send, or what to correct first, by field. The server checks again. */
export function checkPolicy(draft: PolicyDraft): { item: RetentionItem } | { errors: FieldErrors } {
  const errors: FieldErrors = {}
  if (draft.name.trim() === '') errors['name'] = 'Give the policy a name.'
  const matchers = splitMatchers(draft.matchers)
  const wrong = matchers.find((one) => !isMatcher(one))
  if (matchers.length === 0) errors['matchers'] = 'Say which series, like team="dev".'
  if (wrong !== undefined) errors['matchers'] = `${wrong} is not a matcher; write it like team="dev" or host=~"web.*".`
  const lengths = { raw: draft.raw.trim(), five_minutes: draft.five_minutes.trim(), hours: draft.hours.trim() }
  for (const { key } of RESOLUTIONS) {
    if (lengths[key] !== '' && !LENGTH.test(lengths[key])) errors[key] = 'Write a length like 12h, 7d or 2y.'
  }
  if (Object.values(lengths).every((one) => one === '')) errors['raw'] = 'Give at least one length.'
  if (Object.keys(errors).length > 0) return { errors }
  return {
    item: {
      name: draft.name.trim(),
      matchers,
      raw: lengths.raw || null,
      five_minutes: lengths.five_minutes || null,
      hours: lengths.hours || null,
    },
  }
}

export function draftOf(policy: RetentionPolicy | null): PolicyDraft {
  if (policy === null) return { name: '', matchers: '', raw: '', five_minutes: '', hours: '' }
  return {
    name: policy.name,
    matchers: policy.matchers.join('\n'),
    raw: policy.raw ?? '',
    five_minutes: policy.five_minutes ?? '',
    hours: policy.hours ?? '',
  }
}

/** The list as it is sent back, so that those in it keep their identity. */
export function itemsOf(policies: readonly RetentionPolicy[]): RetentionItem[] {
  return policies.map(({ id, name, matchers, raw, five_minutes, hours }) => ({ id, name, matchers, raw, five_minutes, hours }))
}

/** With `item` in place of the policy of that id, or at the end. */
export function withItem(items: readonly RetentionItem[], id: number | null, item: RetentionItem): RetentionItem[] {
  if (id === null) return [...items, item]
  return items.map((one) => (one.id === id ? { ...item, id } : one))
}

/** With the policy one place earlier (-1) or later (1). */
export function moved(items: readonly RetentionItem[], at: number, by: -1 | 1): RetentionItem[] {
  const changed = [...items]
  const [one] = changed.splice(at, 1)
  if (one !== undefined) changed.splice(at + by, 0, one)
  return changed
}
