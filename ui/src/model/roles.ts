import type { Role } from './types'

const RANKS: readonly Role[] = ['viewer', 'operator', 'editor', 'admin']

/** Roles in rising order of power; `writer` stands apart, it only pushes. */
export const ROLES: readonly { role: Role; may: string }[] = [
  { role: 'viewer', may: 'reads everything on these pages' },
  { role: 'operator', may: 'reads everything, acknowledges alerts, sends failed messages again' },
  { role: 'editor', may: 'does what an operator does, changes rules and scrape jobs, and pushes samples' },
  { role: 'admin', may: 'does everything: people, tokens, backups and the audit log too' },
  { role: 'writer', may: 'pushes samples and nothing else: for agents' },
]

export function atLeast(role: Role, needed: Exclude<Role, 'writer'>): boolean {
  return RANKS.indexOf(role) >= RANKS.indexOf(needed)
}
