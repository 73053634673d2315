/** Addresses inside the page: `#/rules/12?range=6h`. */

export interface Route {
  /** Decoded parts of the path; the overview has none. */
  path: string[]
  query: URLSearchParams
}

export function parseRoute(hash: string): Route {
  const text = hash.replace(/^#?\/?/, '')
  const mark = text.indexOf('?')
  const path = mark < 0 ? text : text.slice(0, mark)
  return {
    path: path.split('/').filter((part) => part !== '').map(decoded),
    query: new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1)),
  }
}

/** The hash of a page; values that are empty are left out of the query. */
export function hashOf(path: readonly (string | number)[], query: Record<string, string | null | undefined> = {}): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') params.set(name, value)
  }
  const text = params.toString()
  return `#/${path.map((part) => encodeURIComponent(part)).join('/')}${text === '' ? '' : `?${text}`}`
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
