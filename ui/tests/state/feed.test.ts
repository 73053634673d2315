import { expect, test } from 'vitest'
import type { RangeAnswer, Sample } from '../../src/model/types'
import { Feed, type Source } from '../../src/state/feed.svelte'

const CPU: Source = { metric: 'system.cpu.usage', match: [], rate: false }
const MINUTE = 60_000

interface World {
  now: number
  asked: { name: string; start: number; end: number; step: number }[]
  /** What the server would answer; a promise that never ends is a slow server. */
  answer: (start: number, end: number, step: number) => Promise<RangeAnswer>
  say: (samples: Sample[]) => void
  comeBack: () => void
  watching: number
}

function flat(value: number) {
  return (start: number, end: number, step: number): Promise<RangeAnswer> => {
    const times: number[] = []
    for (let at = start; at < end; at += step) times.push(at)
    const values = times.map(() => value)
    return Promise.resolve({ step_ms: step, resolution: 'raw' as const, times, series: [{ labels: { host: 'a' }, min: values, avg: values, max: values }] })
  }
}

function worldOf(sources: readonly Source[] = [CPU]): { world: World; feed: Feed } {
  const world: World = { now: 1_000_000, asked: [], answer: flat(1), say: () => undefined, comeBack: () => undefined, watching: 0 }
  const feed = new Feed(
    {
      serverNow: () => world.now,
      range: (name, _, start, end, step) => {
        world.asked.push({ name, start, end, step })
        return world.answer(start, end, step)
      },
    },
    {
      watch: (_, __, listener) => {
        world.say = listener
        world.watching += 1
        return () => (world.watching -= 1)
      },
      onReturn: (listener) => {
        world.comeBack = listener
        return () => true
      },
    },
    sources,
    5_000,
  )
  feed.open()
  return { world, feed }
}

const LAST_15_MIN = { spanMs: 15 * MINUTE, zoom: null }
const sample = (time: number, value: number): Sample => ({ labels: { host: 'a' }, time, value })

test('a feed reads its window in steps of whole readings', async () => {
  const { world, feed } = worldOf()
  await feed.show(LAST_15_MIN)
  expect(world.asked).toEqual([{ name: 'system.cpu.usage', start: 105_000, end: 1_005_000, step: 5_000 }])
  expect(feed.window).toEqual({ start: 100_000, end: 1_000_000 })
})

test('live values move the window on', async () => {
  const { world, feed } = worldOf()
  await feed.show(LAST_15_MIN)
  world.now += 5_000
  world.say([sample(world.now, 42)])
  expect(feed.frame?.times.at(-1)).toBe(1_005_000)
  expect(feed.frame?.series[0]?.avg.at(-1)).toBe(42)
  expect(feed.window?.end).toBe(1_005_000)
})

test('values that come while the window is read are not lost', async () => {
  const { world, feed } = worldOf()
  let done: () => void = () => undefined
  const read = flat(1)
  world.answer = (...args) => new Promise((resolve) => (done = () => void read(...args).then(resolve)))
  const showing = feed.show(LAST_15_MIN)
  world.now += 5_000
  world.say([sample(world.now, 42)])
  done()
  await showing
  expect(feed.frame?.series[0]?.avg.at(-1)).toBe(42)
})

test('values that the answer had already are not counted twice', async () => {
  const { world, feed } = worldOf()
  await feed.show(LAST_15_MIN)
  world.say([sample(world.now - 3_000, 99)])
  expect(feed.frame?.series[0]?.max.every((value) => value === 1)).toBe(true)
})

test('a silence moves the window too', async () => {
  const { world, feed } = worldOf()
  await feed.show(LAST_15_MIN)
  world.now += 20_000
  feed.advance()
  expect(feed.frame?.series[0]?.avg.slice(-4)).toEqual([null, null, null, null])
})

test('a zoomed window stands still', async () => {
  const { world, feed } = worldOf()
  await feed.show({ spanMs: 15 * MINUTE, zoom: { start: 400_000, end: 500_000 } })
  world.now += 20_000
  feed.advance()
  world.say([sample(world.now, 42)])
  expect(feed.window).toEqual({ start: 400_000, end: 500_000 })
  expect(feed.frame?.series[0]?.max).not.toContain(42)
})

test('an overtaken answer is dropped', async () => {
  const { world, feed } = worldOf()
  const slow: (() => void)[] = []
  world.answer = (...args) => new Promise((resolve) => slow.push(() => void flat(7)(...args).then(resolve)))
  const first = feed.show(LAST_15_MIN)
  world.answer = flat(8)
  await feed.show({ spanMs: 60 * MINUTE, zoom: null })
  slow[0]?.()
  await first
  expect(feed.frame?.series[0]?.avg[0]).toBe(8)
})

test('a failure is told and the old numbers stay', async () => {
  const { world, feed } = worldOf()
  await feed.show(LAST_15_MIN)
  world.answer = () => Promise.reject(new Error('The server is away.'))
  await feed.reload()
  expect([feed.error, feed.frame?.series.length, feed.busy]).toEqual(['The server is away.', 1, false])
})

test('after a break everything is read again', async () => {
  const { world, feed } = worldOf()
  await feed.show(LAST_15_MIN)
  world.comeBack()
  expect(world.asked).toHaveLength(2)
})

test('several metrics share a chart and its steps', async () => {
  const { feed } = worldOf([
    { ...CPU, metric: 'load.1m', label: 'over', value: '1 min' },
    { ...CPU, metric: 'load.5m', label: 'over', value: '5 min' },
  ])
  await feed.show(LAST_15_MIN)
  expect(feed.frame?.series.map(({ labels }) => labels['over'])).toEqual(['1 min', '5 min'])
})

test('a counter is shown per second from the first step on', async () => {
  const { world, feed } = worldOf([{ ...CPU, rate: true }])
  world.answer = async (start, end, step) => {
    const answer = await flat(0)(start, end, step)
    const rising = answer.times.map((time) => time / 100)
    return { ...answer, series: [{ labels: {}, min: rising, avg: rising, max: rising }] }
  }
  await feed.show(LAST_15_MIN)
  expect(world.asked[0]?.start).toBe(100_000)
  expect(feed.frame?.series[0]?.avg.slice(0, 3)).toEqual([null, 10, 10])
})

test('a closed feed hears nothing more', async () => {
  const { world, feed } = worldOf()
  await feed.show(LAST_15_MIN)
  feed.close()
  expect(world.watching).toBe(0)
})
