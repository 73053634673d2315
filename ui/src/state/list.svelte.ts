import { messageOf } from '../api/problem'
import type { Page } from '../model/types'

const LIMIT_MAX = 1_000

export type FetchPage<T> = (page: { cursor: string | null; limit: number }) => Promise<Page<T>>

/** A list of the server, page by page. */
export class PagedList<T> {
  items = $state.raw<readonly T[]>([])
  next = $state<string | null>(null)
  busy = $state(false)
  loaded = $state(false)
  error = $state('')
  private round = 0

  constructor(
    private fetchPage: FetchPage<T>,
    private readonly size = 50,
  ) {}

  /** Ask for something else from now on. */
  async use(fetchPage: FetchPage<T>): Promise<void> {
    this.fetchPage = fetchPage
    await this.read(null, this.size)
  }

  /** Everything that is shown, read again. */
  reload = async (): Promise<void> => {
    await this.read(null, Math.min(LIMIT_MAX, Math.max(this.size, this.items.length)))
  }

  more = async (): Promise<void> => {
    if (this.next !== null && !this.busy) await this.read(this.next, this.size)
  }

  /** An answer that a newer question has overtaken is dropped. */
  private async read(cursor: string | null, limit: number): Promise<void> {
    const round = ++this.round
    this.busy = true
    try {
      const page = await this.fetchPage({ cursor, limit })
      if (round !== this.round) return
      this.items = cursor === null ? page.items : [...this.items, ...page.items]
      this.next = page.next
      this.loaded = true
      this.error = ''
    } catch (error) {
      if (round === this.round) this.error = messageOf(error)
    } finally {
      if (round === this.round) this.busy = false
    }
  }
}

/** Every page of a list that is known to be short enough to hold. */
export async function wholeList<T>(fetchPage: FetchPage<T>, most = 10_000): Promise<T[]> {
  const items: T[] = []
  let cursor: string | null = null
  do {
    const page: Page<T> = await fetchPage({ cursor, limit: LIMIT_MAX })
    items.push(...page.items)
    cursor = page.next
  } while (cursor !== null && items.length < most)
  return items
}
