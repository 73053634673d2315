import { expect, test } from 'vitest'
import { ApiError } from '../../src/api/problem'
import type { Alert, Page, Session } from '../../src/model/types'
import { AlertsStore } from '../../src/state/alerts.svelte'
import { PagedList, wholeList } from '../../src/state/list.svelte'
import { Live } from '../../src/state/live.svelte'
import { Router } from '../../src/state/router.svelte'
import { SessionStore } from '../../src/state/session.svelte'
import { ThemeStore } from '../../src/state/theme.svelte'
import { Toasts } from '../../src/state/toasts.svelte'
import { FakeTimers } from '../support/clock'
import { alertOf } from '../support/shapes'
import { FakeSocket } from '../support/socket'

const page = <T>(items: T[], next: string | null = null): Page<T> => ({ items, next })

// alerts

function alertsOf(answer: () => Promise<Page<Alert>>): AlertsStore {
  return new AlertsStore({
    alerts: answer,
    acknowledge: (id, comment) => Promise.resolve(alertOf({ id, acknowledged: true, acknowledged_by: 'me', comment })),
  })
}

test('alerts come, change and go as they are told', async () => {
  const store = alertsOf(() => Promise.resolve(page([alertOf({ id: 1 }), alertOf({ id: 2, state: 'pending' })])))
  await store.load()
  store.apply('alert.firing', alertOf({ id: 2 }))
  store.apply('alert.firing', alertOf({ id: 3, severity: 'critical' }))
  store.apply('alert.resolved', alertOf({ id: 1, state: 'resolved' }))
  expect(store.firing.map(({ id }) => id)).toEqual([3, 2])
  expect(store.pending).toEqual([])
  expect(store.worst).toBe('critical')
})

test('a message that overtakes the answer is not undone by it', async () => {
  let answer: (value: Page<Alert>) => void = () => undefined
  const store = alertsOf(() => new Promise((resolve) => (answer = resolve)))
  const loading = store.load()
  store.apply('alert.resolved', alertOf({ id: 1, state: 'resolved' }))
  answer(page([alertOf({ id: 1 }), alertOf({ id: 2 })]))
  await loading
  expect(store.firing.map(({ id }) => id)).toEqual([2])
})

test('an acknowledged alert shows it at once', async () => {
  const store = alertsOf(() => Promise.resolve(page([alertOf({ id: 1 })])))
  await store.load()
  await store.acknowledge(alertOf({ id: 1 }), 'on it')
  expect(store.firing[0]).toMatchObject({ acknowledged: true, comment: 'on it' })
})

test('a failed question keeps what is known', async () => {
  let fails = false
  const store = alertsOf(() => (fails ? Promise.reject(new ApiError(503, 'away')) : Promise.resolve(page([alertOf()]))))
  await store.load()
  fails = true
  await store.load()
  expect([store.error, store.firing.length]).toEqual(['away', 1])
})

// lists

test('a list grows page by page and is read again as long as it is', async () => {
  const asked: { cursor: string | null; limit: number }[] = []
  const list = new PagedList<number>((one) => {
    asked.push(one)
    return Promise.resolve(one.cursor === null ? page([1, 2], 'c') : page([3]))
  }, 2)
  await list.reload()
  await list.more()
  expect([list.items, list.next]).toEqual([[1, 2, 3], null])
  await list.more()
  await list.reload()
  expect(asked).toEqual([
    { cursor: null, limit: 2 },
    { cursor: 'c', limit: 2 },
    { cursor: null, limit: 3 },
  ])
})

test('an answer to an old question is dropped', async () => {
  const answers: ((value: Page<string>) => void)[] = []
  const list = new PagedList<string>(() => new Promise((resolve) => answers.push(resolve)))
  const first = list.reload()
  const second = list.reload()
  answers[1]?.(page(['new']))
  answers[0]?.(page(['old']))
  await Promise.all([first, second])
  expect([list.items, list.busy]).toEqual([['new'], false])
})

test('a whole list is read to its end', async () => {
  const all = await wholeList<number>(({ cursor }) => Promise.resolve(cursor === null ? page([1], 'b') : page([2])))
  expect(all).toEqual([1, 2])
})

// session

const ME: Session = { name: 'mira', role: 'operator', kind: 'user', permissions: [], has_password: true }

test('who is signed in may do what the role says', async () => {
  const store = sessionOf(() => Promise.resolve(ME))
  await store.load()
  expect([store.status, store.may('operator'), store.may('admin')]).toEqual(['in', true, false])
})

test.each([
  [401, 'out'],
  [0, 'unreachable'],
] as const)('an answer of %d at the start means %s', async (status, expected) => {
  const store = sessionOf(() => Promise.reject(new ApiError(status, 'no')))
  await store.load()
  expect(store.status).toBe(expected)
})

test('a server that goes away signs nobody out', async () => {
  let away = false
  const store = sessionOf(() => (away ? Promise.reject(new ApiError(0, 'away')) : Promise.resolve(ME)))
  await store.load()
  away = true
  await store.load()
  expect(store.status).toBe('in')
})

function sessionOf(session: () => Promise<Session>): SessionStore {
  const nothing = () => Promise.resolve({ name: 'mira', role: 'operator' as const })
  return new SessionStore({ session, signIn: nothing, redeemLink: nothing })
}

// live

function liveOf() {
  const timers = new FakeTimers()
  const sockets: FakeSocket[] = []
  let failed = 0
  const live = new Live(
    () => {
      const socket = new FakeSocket()
      sockets.push(socket)
      return socket
    },
    timers,
    () => timers.now,
    () => 0,
    () => undefined,
    () => (failed += 1),
  )
  live.open()
  return { live, timers, last: () => sockets.at(-1) as FakeSocket, failed: () => failed }
}

test('values reach the one who watches, until they stop', () => {
  const { live, last } = liveOf()
  last().accept()
  const heard: unknown[] = []
  const stop = live.watch('system.cpu.usage', [], (samples) => heard.push(samples))
  const samples = [{ labels: {}, time: 1, value: 2 }]
  last().say({ type: 'samples', id: 's1', samples })
  stop()
  last().say({ type: 'samples', id: 's1', samples })
  expect(heard).toEqual([samples])
  expect(last().sent.at(-1)).toEqual({ type: 'unsubscribe', id: 's1' })
})

test('a short break is not worth a word, a longer one is', () => {
  const { live, timers, last, failed } = liveOf()
  last().accept()
  last().hangUp()
  timers.advance(500)
  expect([live.link, live.lost, failed()]).toEqual(['connecting', false, 1])
  last().hangUp()
  timers.advance(1_600)
  expect(live.lost).toBe(true)
  last().accept()
  expect(live.lost).toBe(false)
})

test('who missed something is told to read it, but not at the first connection', () => {
  const { live, timers, last } = liveOf()
  let returns = 0
  live.onReturn(() => (returns += 1))
  last().accept()
  expect(returns).toBe(0)
  last().hangUp()
  timers.advance(500)
  last().accept()
  expect(returns).toBe(1)
})

test('the seconds to the next attempt are counted down', () => {
  const { live, timers, last } = liveOf()
  for (let round = 0; round < 3; round++) {
    last().hangUp()
    if (round < 2) timers.advance(2_000)
  }
  expect(live.retryIn(timers.now)).toBe(2)
  expect(live.retryIn(timers.now + 1_500)).toBe(1)
})

test('alerts reach all who listen', () => {
  const { live, last } = liveOf()
  last().accept()
  const heard: string[] = []
  live.onAlert((type, alert) => heard.push(`${type} ${alert.id}`))
  last().say({ type: 'alert.firing', at: 1, alert: alertOf({ id: 9 }) })
  last().say({ type: 'error', detail: 'no' })
  expect(heard).toEqual(['alert.firing 9'])
})

// the small ones

test('the newest toasts stay, and not for ever', () => {
  const timers = new FakeTimers()
  const toasts = new Toasts((run, ms) => timers.set(run, ms))
  for (const at of [1, 2, 3, 4, 5]) toasts.show('info', `note ${at}`)
  expect(toasts.items.map(({ title }) => title)).toEqual(['note 2', 'note 3', 'note 4', 'note 5'])
  timers.advance(8_000)
  expect(toasts.items).toEqual([])
})

test('a changed query replaces the address, a page is a new one', () => {
  const place = { hash: '#/?range=6h' }
  const router = new Router(place, { replaceState: (_, __, url) => (place.hash = String(url)) })
  router.setQuery({ host: 'a', range: null })
  expect(place.hash).toBe('#/?host=a')
  router.go('#/rules/new')
  expect([router.page, router.route.path]).toEqual(['rules', ['rules', 'new']])
})

test('a chosen theme is remembered, the system\'s is followed', () => {
  const kept = new Map<string, string>()
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
  const root = { dataset: {} as Record<string, string> } as unknown as HTMLElement
  const theme = new ThemeStore(storage)
  theme.follow({ matches: true, addEventListener: () => undefined } as unknown as MediaQueryList)
  expect(theme.shown).toBe('dark')
  theme.choose('light', root)
  expect([theme.shown, root.dataset['theme'], new ThemeStore(storage).chosen]).toEqual(['light', 'light', 'light'])
  theme.next(root)
  theme.next(root)
  expect([theme.chosen, root.dataset['theme'], kept.size]).toEqual(['auto', undefined, 0])
})
