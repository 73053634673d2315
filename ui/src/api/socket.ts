import type { Alert, Sample } from '../model/types'

export type AlertMessageType = 'alert.firing' | 'alert.resolved' | 'alert.acknowledged' | 'alert.changed'

export type Message =
  | { type: 'subscribed'; id: string }
  | { type: 'samples'; id: string; samples: Sample[] }
  | { type: AlertMessageType; at: number; alert: Alert }
  | { type: 'error'; id?: string; detail: string }

export type Link = 'connecting' | 'open' | 'waiting' | 'closed'

/** The part of a browser's WebSocket that is needed here. */
export interface SocketLike {
  onopen: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  send(text: string): void
  close(): void
}

export interface Timers {
  set(run: () => void, ms: number): number
  clear(id: number): void
}

export interface SocketEvents {
  /** `retryInMs` is set while waiting. */
  link(link: Link, retryInMs: number): void
  message(message: Message): void
  /** The server says that the session is over. */
  signedOut(): void
}

export interface Subscription {
  id: string
  name: string
  match: readonly string[]
}

const FIRST_MS = 500
const LONGEST_MS = 30_000
const SIGNED_OUT = 4401

/**
 * The live connection: it stays up until `close`, asks again for every subscription after a break, and waits
 * longer after each failure (doubling from 0.5 s to 30 s, less up to a half by chance).
 */
export class LiveSocket {
  private socket: SocketLike | null = null
  private timer: number | null = null
  private failures = 0
  private wanted = false
  private readonly subscriptions = new Map<string, Subscription>()

  constructor(
    private readonly connect: () => SocketLike,
    private readonly events: SocketEvents,
    private readonly timers: Timers,
    private readonly chance: () => number,
  ) {}

  open(): void {
    if (this.wanted) return
    this.wanted = true
    this.start()
  }

  close(): void {
    this.wanted = false
    this.stopTimer()
    this.drop()
    this.failures = 0
    this.events.link('closed', 0)
  }

  /** Do not wait for the timer: the person asked, or the network came back. */
  retryNow(): void {
    if (!this.wanted || this.timer === null) return
    this.stopTimer()
    this.start()
  }

  subscribe(subscription: Subscription): void {
    this.subscriptions.set(subscription.id, subscription)
    this.say({ type: 'subscribe', ...subscription })
  }

  unsubscribe(id: string): void {
    if (this.subscriptions.delete(id)) this.say({ type: 'unsubscribe', id })
  }

  private isOpen = false

  private start(): void {
    this.events.link('connecting', 0)
    const socket = this.connect()
    this.socket = socket
    socket.onopen = () => {
      this.failures = 0
      this.isOpen = true
      for (const subscription of this.subscriptions.values()) this.say({ type: 'subscribe', ...subscription })
      this.events.link('open', 0)
    }
    socket.onmessage = (event: { data: unknown }) => {
      const message = parseMessage(event.data)
      if (message !== null) this.events.message(message)
    }
    socket.onclose = (event: { code: number }) => {
      this.drop()
      if (event.code === SIGNED_OUT) {
        this.close()
        this.events.signedOut()
      } else if (this.wanted) this.wait()
    }
  }

  private wait(): void {
    const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.failures)
    const ms = Math.round(longest * (1 - this.chance() / 2))
    this.failures += 1
    this.timer = this.timers.set(() => {
      this.timer = null
      this.start()
    }, ms)
    this.events.link('waiting', ms)
  }

  private drop(): void {
    const socket = this.socket
    this.socket = null
    this.isOpen = false
    if (socket === null) return
    socket.onopen = socket.onclose = socket.onmessage = null
    socket.close()
  }

  private stopTimer(): void {
    if (this.timer !== null) this.timers.clear(this.timer)
    this.timer = null
  }

  private say(message: object): void {
    if (this.isOpen) this.socket?.send(JSON.stringify(message))
  }
}

function parseMessage(data: unknown): Message | null {
  if (typeof data !== 'string') return null
  try {
    const message: unknown = JSON.parse(data)
    return typeof message === 'object' && message !== null && 'type' in message ? (message as Message) : null
  } catch {
    return null
  }
}
