import { expect, test } from 'vitest'
import { LiveSocket, type Message } from '../../src/api/socket'
import { FakeTimers } from '../support/clock'
import { FakeSocket } from '../support/socket'

function wired(chance = 0) {
  const timers = new FakeTimers()
  const sockets: FakeSocket[] = []
  const links: string[] = []
  const messages: Message[] = []
  let signedOut = 0
  const live = new LiveSocket(
    () => {
      const socket = new FakeSocket()
      sockets.push(socket)
      return socket
    },
    {
      link: (link) => links.push(link),
      message: (message) => messages.push(message),
      signedOut: () => (signedOut += 1),
    },
    timers,
    () => chance,
  )
  const last = (): FakeSocket => sockets.at(-1) as FakeSocket
  return { live, timers, sockets, links, messages, last, signedOut: () => signedOut }
}

const CPU = { id: 'c1', name: 'system.cpu.usage', match: [] }

test('what was asked for before the connection stood is asked when it does', () => {
  const { live, last } = wired()
  live.open()
  live.subscribe(CPU)
  expect(last().sent).toEqual([])
  last().accept()
  expect(last().sent).toEqual([{ type: 'subscribe', ...CPU }])
})

test('after a break it asks again for all that is still wanted', () => {
  const { live, timers, last, sockets } = wired()
  live.open()
  last().accept()
  live.subscribe(CPU)
  live.subscribe({ ...CPU, id: 'c2' })
  live.unsubscribe('c2')
  last().hangUp()
  timers.advance(500)
  last().accept()
  expect(sockets).toHaveLength(2)
  expect(last().sent).toEqual([{ type: 'subscribe', ...CPU }])
})

test('each failure waits twice as long, half a minute at most', () => {
  const { live, timers, last } = wired()
  live.open()
  const waits: number[] = []
  for (let round = 0; round < 9; round++) {
    last().hangUp()
    waits.push(timers.waits[0] ?? NaN)
    timers.advance(60_000)
  }
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
})

test('chance takes up to a half off, so that browsers do not come back all at once', () => {
  const { live, timers, last } = wired(1)
  live.open()
  last().hangUp()
  expect(timers.waits).toEqual([250])
})

test('a success begins the waiting anew', () => {
  const { live, timers, last } = wired()
  live.open()
  for (let round = 0; round < 4; round++) {
    last().hangUp()
    timers.advance(60_000)
  }
  last().accept()
  last().hangUp(1013)
  expect(timers.waits).toEqual([500])
})

test('a person need not wait', () => {
  const { live, timers, last, sockets } = wired()
  live.open()
  last().hangUp()
  live.retryNow()
  expect(sockets).toHaveLength(2)
  expect(timers.waits).toEqual([])
})

test('asking again while it is connected changes nothing', () => {
  const { live, last, sockets } = wired()
  live.open()
  last().accept()
  live.retryNow()
  expect(sockets).toHaveLength(1)
})

test('an ended session ends the attempts', () => {
  const { live, timers, last, sockets, signedOut } = wired()
  live.open()
  last().accept()
  last().hangUp(4401)
  timers.advance(120_000)
  expect(sockets).toHaveLength(1)
  expect(signedOut()).toBe(1)
})

test('after closing nothing is heard and nothing tried', () => {
  const { live, timers, last, sockets, links } = wired()
  live.open()
  last().accept()
  const old = last()
  live.close()
  old.hangUp()
  timers.advance(120_000)
  expect(sockets).toHaveLength(1)
  expect(old.closed).toBe(true)
  expect(links.at(-1)).toBe('closed')
})

test('what is no message is passed over', () => {
  const { live, last, messages } = wired()
  live.open()
  last().accept()
  for (const odd of ['not json', '3', '{"no": "type"}', 'null']) last().say(odd)
  last().say({ type: 'subscribed', id: 'c1' })
  expect(messages).toEqual([{ type: 'subscribed', id: 'c1' }])
})
