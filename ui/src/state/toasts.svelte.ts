import type { Severity } from '../model/types'

export interface Toast {
  id: number
  tone: Severity | 'good'
  title: string
  text: string
  href: string | null
}

const SHOWN_MAX = 4
const SHOWN_MS = 8_000

/** Short notes in the corner; the oldest makes room. */
export class Toasts {
  items = $state.raw<readonly Toast[]>([])
  private last = 0

  constructor(private readonly later: (run: () => void, ms: number) => void) {}

  show(tone: Toast['tone'], title: string, text = '', href: string | null = null): void {
    const id = ++this.last
    this.items = [...this.items, { id, tone, title, text, href }].slice(-SHOWN_MAX)
    this.later(() => this.dismiss(id), tone === 'critical' ? SHOWN_MS * 2 : SHOWN_MS)
  }

  dismiss(id: number): void {
    this.items = this.items.filter((toast) => toast.id !== id)
  }
}
