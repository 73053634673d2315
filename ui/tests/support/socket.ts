import type { SocketLike } from '../../src/api/socket'

/** The other end of a live connection, in the test's hands. */
export class FakeSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null
  onclose: ((event: never) => void) | null = null
  onmessage: ((event: never) => void) | null = null
  readonly sent: unknown[] = []
  closed = false

  send(text: string): void {
    this.sent.push(JSON.parse(text))
  }

  close(): void {
    this.closed = true
  }

  accept(): void {
    this.onopen?.({} as never)
  }

  say(message: unknown): void {
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) } as never)
  }

  hangUp(code = 1006): void {
    this.onclose?.({ code } as never)
  }
}
