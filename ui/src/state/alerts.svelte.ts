import type { Client } from '../api/client'
import { messageOf } from '../api/problem'
import type { AlertMessageType } from '../api/socket'
import { byUrgency } from '../model/alert'
import { worstSeverity } from '../model/severity'
import type { Alert, Severity } from '../model/types'

const SHOWN_MAX = 1_000

/** The alerts that are pending or firing now, kept up to date by live messages. */
export class AlertsStore {
  private open = $state.raw<ReadonlyMap<number, Alert>>(new Map())
  loaded = $state(false)
  error = $state('')
  /** There are more than are kept here. */
  more = $state(false)

  readonly firing = $derived([...this.open.values()].filter((alert) => alert.state === 'firing').sort(byUrgency))
  readonly pending = $derived([...this.open.values()].filter((alert) => alert.state === 'pending').sort(byUrgency))
  readonly worst = $derived<Severity | null>(worstSeverity(this.firing.map((alert) => alert.severity)))

  constructor(private readonly client: Pick<Client, 'alerts' | 'acknowledge'>) {}

  async load(): Promise<void> {
    const before = this.changes
    try {
      const page = await this.client.alerts({ limit: SHOWN_MAX })
      // A message that came meanwhile is newer than the answer.
      const open = new Map(page.items.map((alert) => [alert.id, alert]))
      this.open = open
      for (const alert of this.recent.slice(Math.max(0, this.recent.length - (this.changes - before)))) this.put(alert)
      this.more = page.next !== null
      this.loaded = true
      this.error = ''
    } catch (error) {
      this.error = messageOf(error)
    }
  }

  apply = (_: AlertMessageType, alert: Alert): void => {
    this.changes += 1
    this.recent = [...this.recent.slice(-SHOWN_MAX), alert]
    this.put(alert)
  }

  async acknowledge(alert: Alert, comment: string): Promise<void> {
    this.apply('alert.acknowledged', await this.client.acknowledge(alert.id, comment))
  }

  clear(): void {
    this.open = new Map()
    this.recent = []
    this.loaded = false
  }

  private changes = 0
  private recent: Alert[] = []

  private put(alert: Alert): void {
    const open = new Map(this.open)
    if (alert.state === 'firing' || alert.state === 'pending') open.set(alert.id, alert)
    else open.delete(alert.id)
    this.open = open
  }
}
