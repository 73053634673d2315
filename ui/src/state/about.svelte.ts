import type { About } from '../model/types'

const INTERVAL_MS = 5_000

/** What the server said about itself. */
export class AboutStore {
  info = $state.raw<About | null>(null)

  constructor(private readonly read: () => Promise<About>) {}

  /** Time between readings of the server's own machine. */
  get intervalMs(): number {
    return (this.info?.host_interval ?? INTERVAL_MS / 1000) * 1000
  }

  async load(): Promise<void> {
    // The pages do without it.
    this.info = await this.read().catch(() => null)
  }
}
