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

/** The shortest names that tell the series of one chart apart: the labels that all share are left out. */
export function seriesNames(all: readonly Labels[]): string[] {
  const names = new Set(all.flatMap((labels) => labelPairs(labels).map(([name]) => name)))
  const telling = [...names].filter((name) => new Set(all.map((labels) => labels[name])).size > 1)
  return all.map((labels) => {
    const parts = labelPairs(labels)
      .filter(([name]) => telling.includes(name))
      .map(([, value]) => value)
    return parts.length > 0 ? parts.join(' · ') : labelPairs(labels).map(([, value]) => value).join(' · ')
  })
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
