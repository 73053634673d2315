import { untrack } from 'svelte'
import type { Alert } from '../model/types'
import type { Asked, Feed, Source } from '../state/feed.svelte'
import { alerts, clock, feed, metrics, rules } from '../state/app'

/** The unit of a metric, empty while it is not known. */
export function unitOf(metric: string): string {
  return metrics.items.find((one) => one.name === metric)?.unit ?? ''
}

export function kindOf(metric: string): string {
  return metrics.items.find((one) => one.name === metric)?.kind ?? 'gauge'
}

/** How long the alert's rule waits, in seconds. */
export function holdOf(alert: Alert): number | null {
  return rules.items.find((rule) => rule.id === alert.rule_id)?.duration ?? null
}

/** The alert that a person is about to acknowledge. */
export class Acknowledging {
  alert = $state.raw<Alert | null>(null)

  begin = (alert: Alert): void => {
    this.alert = alert
  }

  end = (): void => {
    this.alert = null
  }

  send = async (comment: string): Promise<void> => {
    if (this.alert !== null) await alerts.acknowledge(this.alert, comment)
  }
}

const ADVANCE_MS = 5_000

/**
 * A feed that lives as long as the component that calls this, and starts anew when its sources change.
 *
 * Call it while a component is set up. Sources are compared by what they say.
 */
export function liveFeed(sources: () => readonly Source[], asked: () => Asked): { readonly now: Feed | null } {
  const key = $derived(JSON.stringify(sources()))
  let current = $state.raw<Feed | null>(null)

  $effect(() => {
    const wanted = JSON.parse(key) as Source[]
    if (wanted.length === 0) return
    const made = untrack(() => feed(wanted))
    made.open()
    current = made
    const timer = setInterval(() => {
      if (!document.hidden) made.advance()
    }, ADVANCE_MS)
    const seen = (): void => {
      clock.tick()
      if (!document.hidden) made.advance()
    }
    document.addEventListener('visibilitychange', seen)
    return () => {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', seen)
      made.close()
      current = null
    }
  })

  const wish = $derived(JSON.stringify(asked()))
  $effect(() => {
    const now = current
    const asks = JSON.parse(wish) as Asked
    if (now !== null) untrack(() => void now.show(asks))
  })

  return {
    get now() {
      return current
    },
  }
}

const SOON_MS = 500

/** `run` once for any number of calls within half a second. */
export function soon(run: () => void): () => void {
  let timer: number | null = null
  return () => {
    timer ??= window.setTimeout(() => {
      timer = null
      run()
    }, SOON_MS)
  }
}
