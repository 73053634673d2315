import type { Client } from '../api/client'
import { messageOf } from '../api/problem'
import { combined, frameOf, merged, rates, slid, type Frame } from '../model/frame'
import { alignedWindow, stepFor } from '../model/span'
import type { Sample } from '../model/types'
import type { Live } from './live.svelte'

/** One metric of a chart. `label` and `value` tell its series apart where a chart has several metrics. */
export interface Source {
  metric: string
  match: readonly string[]
  /** Draw a counter's increase per second. */
  rate: boolean
  label?: string
  value?: string
}

/** What time a chart shows: the last `spanMs`, or a fixed stretch. */
export interface Asked {
  spanMs: number
  zoom: { start: number; end: number } | null
}

const REFRESH_MS = 600_000
const SLACK_MS = 1_000

/** The numbers behind one chart: read over HTTP, then kept going by live values. */
export class Feed {
  private parts = $state.raw<readonly Frame[]>([])
  busy = $state(false)
  error = $state('')
  /** The drawn stretch in ms. */
  window = $state.raw<{ start: number; end: number } | null>(null)
  readonly frame = $derived(this.drawn())

  private asked: Asked | null = null
  private round = 0
  private loadedAt = 0
  private waiting: { source: number; samples: readonly Sample[] }[] | null = null
  private readonly endings: (() => void)[] = []

  constructor(
    private readonly client: Pick<Client, 'range' | 'serverNow'>,
    private readonly live: Pick<Live, 'watch' | 'onReturn'>,
    private readonly sources: readonly Source[],
    private readonly intervalMs: number,
  ) {}

  /** Begin to listen. Call `close` in the end. */
  open(): void {
    this.sources.forEach((source, at) => {
      this.endings.push(this.live.watch(source.metric, source.match, (samples) => this.heard(at, samples)))
    })
    this.endings.push(this.live.onReturn(() => void this.reload()))
  }

  close(): void {
    this.round += 1
    for (const end of this.endings.splice(0)) end()
  }

  async show(asked: Asked): Promise<void> {
    this.asked = asked
    await this.reload()
  }

  async reload(): Promise<void> {
    const asked = this.asked
    if (asked === null) return
    const round = ++this.round
    const now = this.client.serverNow()
    const spanMs = asked.zoom === null ? asked.spanMs : asked.zoom.end - asked.zoom.start
    const stepMs = stepFor(spanMs, this.intervalMs)
    const { start, end } = alignedWindow(asked.zoom?.end ?? now, spanMs, stepMs)
    this.busy = true
    this.waiting = []
    try {
      // A rate needs the step before the first.
      const answers = await Promise.all(
        this.sources.map(({ metric, match, rate }) =>
          this.client.range(metric, match, rate ? start - stepMs : start, end, stepMs),
        ),
      )
      if (round !== this.round) return
      this.parts = answers.map(frameOf)
      this.loadedAt = now
      this.error = ''
      this.setWindow(now)
      const waited: { source: number; samples: readonly Sample[] }[] = this.waiting
      this.waiting = null
      for (const { source, samples } of waited) this.heard(source, samples)
    } catch (error) {
      if (round !== this.round) return
      this.error = messageOf(error)
      this.waiting = null
    } finally {
      if (round === this.round) this.busy = false
    }
  }

  /** The window moves on also when nothing arrives: a silence must be seen. Call it every few seconds. */
  advance(): void {
    if (this.asked === null || this.asked.zoom !== null || this.waiting !== null) return
    const now = this.client.serverNow()
    if (now - this.loadedAt > REFRESH_MS) void this.reload()
    else this.move(now)
  }

  private heard(source: number, samples: readonly Sample[]): void {
    if (this.waiting !== null) {
      this.waiting.push({ source, samples })
      return
    }
    const frame = this.parts[source]
    if (frame === undefined) return
    // Older ones were in the answer already.
    const fresh = samples.filter((sample) => sample.time > this.loadedAt - SLACK_MS)
    if (fresh.length === 0) return
    const latest = fresh.reduce((most, sample) => Math.max(most, sample.time), 0)
    const now = this.client.serverNow()
    if (this.asked?.zoom === null) this.move(Math.max(now, Math.min(latest, now + frame.stepMs)))
    this.parts = this.parts.map((part, at) => (at === source ? merged(part, fresh) : part))
  }

  private move(nowMs: number): void {
    const moved = this.parts.map((part) => slid(part, nowMs))
    if (moved.some((part, at) => part !== this.parts[at])) this.parts = moved
    this.setWindow(nowMs)
  }

  private setWindow(nowMs: number): void {
    const asked = this.asked
    if (asked === null) return
    const next = asked.zoom ?? { start: nowMs - asked.spanMs, end: nowMs }
    if (this.window?.start !== next.start || this.window.end !== next.end) this.window = next
  }

  private drawn(): Frame | null {
    const frames = this.sources.flatMap((source, at) => {
      const part = this.parts[at]
      if (part === undefined) return []
      const frame = source.rate ? rates(part) : part
      return [{ frame, source }]
    })
    const only = frames[0]
    if (only === undefined) return null
    if (frames.length === 1) return only.frame
    return combined(
      frames.map(({ frame, source }) => ({ frame, label: source.label ?? 'metric', value: source.value ?? source.metric })),
    )
  }
}
