import { messageOf } from '../api/problem'
import { chartFrame } from '../model/query'
import { stepFor } from '../model/span'
import { client } from '../state/app'

const DAY_MS = 86_400_000
const CHARTED_MAX = 50

/** What an expression gave in the last 24 h, as it is being typed. */
export class ExpressionPreview {
  frame = $state.raw<ReturnType<typeof chartFrame> | null>(null)
  window = $state.raw<{ start: number; end: number } | null>(null)
  error = $state('')
  private round = 0

  async read(expr: string): Promise<void> {
    const own = ++this.round
    const end = client.serverNow()
    const stepMs = stepFor(DAY_MS)
    const start = Math.ceil((end - DAY_MS) / stepMs) * stepMs
    const last = Math.floor(end / stepMs) * stepMs
    try {
      const { data } = await client.queryRange(expr, start, last, stepMs, false)
      if (own !== this.round) return
      const some = data.resultType === 'matrix' ? { ...data, result: data.result.slice(0, CHARTED_MAX) } : null
      this.frame = some === null ? null : chartFrame(some, start, last, stepMs)
      this.window = { start, end: last }
      this.error = ''
    } catch (reason) {
      if (own === this.round) this.error = messageOf(reason)
    }
  }
}
