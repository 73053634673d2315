import type { Timers } from '../../src/api/socket'

/** Timers that run when the test says so. */
export class FakeTimers implements Timers {
  now = 0
  private last = 0
  private readonly planned = new Map<number, { at: number; run: () => void }>()

  set(run: () => void, ms: number): number {
    this.planned.set(++this.last, { at: this.now + ms, run })
    return this.last
  }

  clear(id: number): void {
    this.planned.delete(id)
  }

  advance(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const due = [...this.planned].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at)[0]
      if (due === undefined) break
      const [id, { at, run }] = due
      this.planned.delete(id)
      this.now = at
      run()
    }
    this.now = end
  }

  /** Milliseconds until each planned run. */
  get waits(): number[] {
    return [...this.planned.values()].map(({ at }) => at - this.now)
  }
}
