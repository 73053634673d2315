import type { Labels } from './types'

/** One text per set of labels, whatever their order. */
export function labelsKey(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** Labels without the metric's own name, by name. */
export function labelPairs(labels: Labels): [string, string][] {
  return Object.entries(labels)
    .filter(([name]) => name !== '__name__')
    .sort(([one], [other]) => (one < other ? -1 : 1))
}

/** Labels that say what a series is about come before those that only add to it. */
const TELLING = ['host', 'mount', 'interface', 'device', 'cpu', 'chip', 'sensor', 'mode', 'state', 'status', 'direction']
const ADDING = ['fstype']

/**
 * The shortest names that tell the series of one chart apart: as few labels as that takes.
 *
 * A series on its own is called after what it is about, or not at all.
 */
export function seriesNames(all: readonly Labels[]): string[] {
  const names = [...new Set(all.flatMap((labels) => labelPairs(labels).map(([name]) => name)))].sort(
    (one, other) => rank(one) - rank(other) || (one < other ? -1 : 1),
  )
  if (new Set(all.map((labels) => labels['__name__'])).size > 1) names.unshift('__name__')
  const taken: string[] = []
  let apart = 1
  for (const name of names) {
    const now = new Set(all.map((labels) => textOf(labels, [...taken, name]))).size
    if (now > apart) {
      taken.push(name)
      apart = now
    }
  }
  const about = names.find((name) => name !== 'host' && TELLING.includes(name))
  if (taken.length === 0 && about !== undefined) taken.push(about)
  return all.map((labels) => textOf(labels, taken))
}

function rank(name: string): number {
  const at = TELLING.indexOf(name)
  if (at >= 0) return at
  return ADDING.includes(name) ? TELLING.length + 1 : TELLING.length
}

function textOf(labels: Labels, names: readonly string[]): string {
  return names.flatMap((name) => labels[name] ?? []).join(' · ')
}

/** `mount="/"`, as the server's `match` wants it. */
export function equalMatcher(name: string, value: string): string {
  return `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}

const MATCHER = /^\s*[^\s=!~{},"]+\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^\s",{}]*)\s*$/

/** Matchers as typed, one a line or parted by commas outside quotes. */
export function splitMatchers(text: string): string[] {
  const parts: string[] = []
  let part = ''
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (quoted && char === '\\') {
      part += char + text.charAt(++at)
      continue
    }
    if (char === '"') quoted = !quoted
    if (!quoted && (char === ',' || char === '\n')) {
      parts.push(part)
      part = ''
    } else part += char
  }
  return [...parts, part].map((one) => one.trim()).filter((one) => one !== '')
}

export function isMatcher(text: string): boolean {
  return MATCHER.test(text)
}
