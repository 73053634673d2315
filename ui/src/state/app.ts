import { Client } from '../api/client'
import type { SocketLike } from '../api/socket'
import { placeOf } from '../model/alert'
import { SEVERITY_NAMES } from '../model/severity'
import type { Alert, Metric, Rule } from '../model/types'
import type { AlertMessageType } from '../api/socket'
import { AlertsStore } from './alerts.svelte'
import { Clock } from './clock.svelte'
import { Feed, type Source } from './feed.svelte'
import { KnownList } from './known.svelte'
import { Live } from './live.svelte'
import { Router } from './router.svelte'
import { SessionStore } from './session.svelte'
import { ThemeStore } from './theme.svelte'
import { Toasts } from './toasts.svelte'
import { AboutStore } from './about.svelte'

/** Everything that lives as long as the page, put together once. */

const timers = {
  set: (run: () => void, ms: number): number => window.setTimeout(run, ms),
  clear: (id: number): void => window.clearTimeout(id),
}

function storage(): Storage | null {
  try {
    return window.localStorage
  } catch {
    return null
  }
}

function socketUrl(): string {
  const url = new URL('ws', document.baseURI)
  url.hash = ''
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}

export const client: Client = new Client(
  (input, init) => fetch(input, init),
  () => Date.now(),
  () => signedOut(),
)
export const clock = new Clock(() => client.serverNow())
export const theme = new ThemeStore(storage())
export const router = new Router(location, history)
export const toasts = new Toasts((run, ms) => timers.set(run, ms))
export const session = new SessionStore(client)
export const alerts = new AlertsStore(client)
export const rules = new KnownList<Rule>((page) => client.rules(page))
export const metrics = new KnownList<Metric>((page) => client.metrics(page))
export const about = new AboutStore(() => client.about())
export const live = new Live(
  () => new WebSocket(socketUrl()) as SocketLike,
  timers,
  () => Date.now(),
  Math.random,
  () => signedOut(),
  () => void session.load(),
)

/** The numbers behind a chart. The caller closes it. */
export function feed(sources: readonly Source[]): Feed {
  return new Feed(client, live, sources, about.intervalMs)
}

/** Read what every page needs, and listen. */
export async function signedIn(): Promise<void> {
  live.open()
  await Promise.all([about.load(), alerts.load(), rules.load(), metrics.load()])
}

function signedOut(): void {
  live.close()
  alerts.clear()
  rules.clear()
  metrics.clear()
  session.signedOut()
}

export async function signOut(): Promise<void> {
  await client.signOut()
  signedOut()
  // Visitors may have a role of their own.
  await session.load()
}

/** Rules change their state with their alerts; many at once are one question. */
let rulesSoon: number | null = null
function rulesChanged(): void {
  rulesSoon ??= timers.set(() => {
    rulesSoon = null
    void rules.load()
  }, 500)
}

function announce(type: AlertMessageType, alert: Alert): void {
  const place = placeOf(alert)
  const href = `#/alerts/${alert.id}`
  if (type === 'alert.firing') toasts.show(alert.severity, `${SEVERITY_NAMES[alert.severity]}: ${alert.rule_name}`, place, href)
  if (type === 'alert.resolved') toasts.show('good', `Resolved: ${alert.rule_name}`, place, href)
}

/** Wire the listeners that last as long as the page. Returns how to end them. */
export function start(): () => void {
  theme.follow(window.matchMedia('(prefers-color-scheme: dark)'))
  window.addEventListener('hashchange', router.read)
  const online = (): void => live.retryNow()
  const seen = (): void => {
    if (!document.hidden) live.retryNow()
  }
  window.addEventListener('online', online)
  document.addEventListener('visibilitychange', seen)
  const endings = [
    clock.start(),
    live.onAlert((type, alert) => {
      alerts.apply(type, alert)
      announce(type, alert)
      rulesChanged()
    }),
    live.onReturn(() => {
      void alerts.load()
      void rules.load()
    }),
  ]
  return () => {
    window.removeEventListener('hashchange', router.read)
    window.removeEventListener('online', online)
    document.removeEventListener('visibilitychange', seen)
    for (const end of endings) end()
  }
}
