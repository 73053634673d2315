import { LiveSocket, type AlertMessageType, type Link, type Message, type SocketLike, type Timers } from '../api/socket'
import type { Alert, Sample } from '../model/types'

type SampleListener = (samples: readonly Sample[]) => void
type AlertListener = (type: AlertMessageType, alert: Alert) => void

const PATIENCE_MS = 2_000

/** The live connection as pages see it: its state, and who hears what. */
export class Live {
  link = $state<Link>('closed')
  /** The connection has been gone long enough that people should know. */
  lost = $state(false)
  private retryAt = $state<number | null>(null)

  private readonly socket: LiveSocket
  private readonly samples = new Map<string, SampleListener>()
  private readonly alertListeners = new Set<AlertListener>()
  private readonly returnListeners = new Set<() => void>()
  private lastId = 0
  private wasOpen = false
  private losing: number | null = null

  constructor(
    connect: () => SocketLike,
    private readonly timers: Timers,
    private readonly now: () => number,
    chance: () => number,
    signedOut: () => void,
    private readonly failed: () => void,
  ) {
    const link = this.linked.bind(this)
    const message = this.heard.bind(this)
    this.socket = new LiveSocket(connect, { link, message, signedOut }, timers, chance)
  }

  open(): void {
    this.socket.open()
  }

  close(): void {
    this.socket.close()
    this.wasOpen = false
    this.found()
  }

  retryNow = (): void => this.socket.retryNow()

  /** Seconds until the next attempt, null while there is none planned. */
  retryIn(nowMs: number): number | null {
    return this.retryAt === null ? null : Math.max(0, Math.ceil((this.retryAt - nowMs) / 1000))
  }

  /** Live values of the series of a metric. Returns how to end it. */
  watch(name: string, match: readonly string[], listener: SampleListener): () => void {
    const id = `s${++this.lastId}`
    this.samples.set(id, listener)
    this.socket.subscribe({ id, name, match })
    return () => {
      this.samples.delete(id)
      this.socket.unsubscribe(id)
    }
  }

  onAlert(listener: AlertListener): () => void {
    this.alertListeners.add(listener)
    return () => this.alertListeners.delete(listener)
  }

  /** Told when the connection is back after a break: what was missed has to be read over HTTP. */
  onReturn(listener: () => void): () => void {
    this.returnListeners.add(listener)
    return () => this.returnListeners.delete(listener)
  }

  private linked(link: Link, retryInMs: number): void {
    this.link = link
    this.retryAt = link === 'waiting' ? this.now() + retryInMs : null
    if (link === 'open') this.opened()
    else if (link === 'waiting') {
      this.losing ??= this.timers.set(() => (this.lost = true), PATIENCE_MS)
      this.failed()
    }
  }

  private opened(): void {
    this.found()
    if (this.wasOpen) for (const listener of this.returnListeners) listener()
    this.wasOpen = true
  }

  private found(): void {
    if (this.losing !== null) this.timers.clear(this.losing)
    this.losing = null
    this.lost = false
  }

  private heard(message: Message): void {
    switch (message.type) {
      case 'samples':
        this.samples.get(message.id)?.(message.samples)
        break
      case 'alert.firing':
      case 'alert.resolved':
      case 'alert.acknowledged':
      case 'alert.changed':
        for (const listener of this.alertListeners) listener(message.type, message.alert)
        break
      case 'subscribed':
      case 'error':
        break
    }
  }
}
