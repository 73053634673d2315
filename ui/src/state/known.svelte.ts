import { messageOf } from '../api/problem'
import { wholeList, type FetchPage } from './list.svelte'

/** A whole list that several pages look things up in: the metrics, the rules. */
export class KnownList<T> {
  items = $state.raw<readonly T[]>([])
  loaded = $state(false)
  error = $state('')

  constructor(private readonly fetchPage: FetchPage<T>) {}

  load = async (): Promise<void> => {
    try {
      this.items = await wholeList(this.fetchPage)
      this.loaded = true
      this.error = ''
    } catch (error) {
      this.error = messageOf(error)
    }
  }

  clear(): void {
    this.items = []
    this.loaded = false
  }
}
