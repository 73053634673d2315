import { hashOf, parseRoute, type Route } from '../model/route'

/** Where we are, from the address; changes of the query alone replace the entry in the browser's history. */
export class Router {
  route = $state.raw<Route>({ path: [], query: new URLSearchParams() })

  constructor(
    private readonly place: Pick<Location, 'hash'>,
    private readonly past: Pick<History, 'replaceState'>,
  ) {
    this.read()
  }

  read = (): void => {
    this.route = parseRoute(this.place.hash)
  }

  /** The first part of the path, empty on the overview. */
  get page(): string {
    return this.route.path[0] ?? ''
  }

  go(hash: string): void {
    this.place.hash = hash
    this.read()
  }

  replace(hash: string): void {
    this.past.replaceState(null, '', hash)
    this.read()
  }

  setQuery(changes: Record<string, string | null>): void {
    this.replace(hashOf(this.route.path, { ...Object.fromEntries(this.route.query), ...changes }))
  }
}
