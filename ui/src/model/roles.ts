import type { Role } from './types'

const RANKS: readonly Role[] = ['viewer', 'operator', 'editor', 'admin']

/** Roles in rising order of power; `writer` stands apart, it only pushes. */
export const ROLES: readonly { role: Role; may: string }[] = [
  { role: 'viewer', may: 'reads everything on these pages' },
  { role: 'operator', may: 'also acknowledges alerts and sends failed messages again' },
  { role: 'editor', may: 'also changes rules and pushes samples' },
  { role: 'admin', may: 'also manages people and tokens, and reads the audit log' },
  { role: 'writer', may: 'pushes samples and nothing else: for agents' },
]

export function atLeast(role: Role, needed: Exclude<Role, 'writer'>): boolean {
  return RANKS.indexOf(role) >= RANKS.indexOf(needed)
}
