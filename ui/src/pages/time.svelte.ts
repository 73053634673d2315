import { DEFAULT_SPAN, spanOf, type Span } from '../model/span'
import { router } from '../state/app'
import type { Asked } from '../state/feed.svelte'

/** The time that a page's charts show, kept in the address so that it can be shared and survives a reload. */
export class TimeChoice {
  readonly span = $derived<Span>(spanOf(router.route.query.get('range')))
  readonly zoom = $derived(zoomOf(router.route.query))
  readonly asked = $derived<Asked>({ spanMs: this.span.ms, zoom: this.zoom })

  choose = (key: string): void => {
    router.setQuery({ range: key === DEFAULT_SPAN.key ? null : key, from: null, to: null })
  }

  zoomTo = (start: number, end: number): void => {
    router.setQuery({ from: String(start), to: String(end) })
  }

  reset = (): void => {
    router.setQuery({ from: null, to: null })
  }
}

function zoomOf(query: URLSearchParams): { start: number; end: number } | null {
  const start = Number(query.get('from') ?? NaN)
  const end = Number(query.get('to') ?? NaN)
  return Number.isFinite(start) && Number.isFinite(end) && end > start ? { start, end } : null
}
