import { expect, test } from 'vitest'
import { Client, withQuery } from '../../src/api/client'
import { ApiError } from '../../src/api/problem'

interface Asked {
  url: string
  init: RequestInit
}

function clientWith(response: () => Response, now = 0): { client: Client; asked: Asked[]; signedOut: () => number } {
  const asked: Asked[] = []
  let ended = 0
  const client = new Client(
    (input, init = {}) => {
      asked.push({ url: String(input), init })
      return Promise.resolve(response())
    },
    () => now,
    () => (ended += 1),
  )
  return { client, asked, signedOut: () => ended }
}

function problem(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/problem+json' } })
}

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof ApiError) return error
  }
  throw new Error('it did not fail as it should')
}

test('empty parts of a question are left out, lists are repeated', () => {
  expect(withQuery('api/x', { a: 1, b: null, c: '', d: undefined, match: ['m="/"', 'n="1"'] })).toBe(
    'api/x?a=1&match=m%3D%22%2F%22&match=n%3D%221%22',
  )
})

test('a chart asks in seconds and with its step', async () => {
  const { client, asked } = clientWith(() => Response.json({ step_ms: 15_000, times: [], series: [] }))
  await client.range('system.cpu.usage', ['host="a"'], 1_500, 3_000, 15_000)
  expect(asked[0]?.url).toBe('api/metrics/range?name=system.cpu.usage&match=host%3D%22a%22&start=1.5&end=3&step=15s')
})

test('a name with odd letters stays one part of the path', async () => {
  const { client, asked } = clientWith(() => Response.json({}))
  await client.trend('a/b?c', 24)
  expect(asked[0]?.url).toBe('api/trends/a%2Fb%3Fc?hours=24')
})

test('the server\'s own sentence and field are told', async () => {
  const { client } = clientWith(() => problem(422, { detail: 'Give the rule a name.', field: 'name' }))
  const error = await failure(client.rules())
  expect([error.status, error.message, error.field]).toEqual([422, 'Give the rule a name.', 'name'])
})

test('an answer without a sentence gets a plain one', async () => {
  const { client } = clientWith(() => new Response('<html>', { status: 503 }))
  expect((await failure(client.rules())).message).toContain('cannot reach its database')
})

test('a session that ended sends people to the sign-in', async () => {
  const { client, signedOut } = clientWith(() => problem(401, { detail: 'Sign in first.' }))
  await failure(client.rules())
  expect(signedOut()).toBe(1)
})

test('a wrong password is no end of a session', async () => {
  const { client, signedOut } = clientWith(() => problem(401, { detail: 'The name or the password is not right.' }))
  expect((await failure(client.signIn('a', 'b'))).message).toBe('The name or the password is not right.')
  expect(signedOut()).toBe(0)
})

test('a server that is away is told as such', async () => {
  const client = new Client(
    () => Promise.reject(new TypeError('failed to fetch')),
    () => 0,
    () => undefined,
  )
  const error = await failure(client.rules())
  expect([error.status, error.message]).toEqual([0, 'The server cannot be reached. Check that it runs and that the network is up.'])
})

test('an empty comment is not sent', async () => {
  const { client, asked } = clientWith(() => Response.json({}))
  await client.acknowledge(7, '')
  await client.acknowledge(7, 'on it')
  expect(asked.map(({ init }) => init.body)).toEqual(['{}', '{"comment":"on it"}'])
})

test('an answer without content is nothing', async () => {
  const { client } = clientWith(() => new Response(null, { status: 204 }))
  expect(await client.deleteRule(1)).toBeUndefined()
})

test.each([
  ['Mon, 23 Nov 2026 10:00:00 GMT', Date.UTC(2026, 10, 23, 10, 0, 1), 0],
  ['Mon, 23 Nov 2026 10:00:00 GMT', Date.UTC(2026, 10, 23, 9, 58, 0, 500), 120_000],
])('the server says %s: charts follow its clock', async (date, now, offset) => {
  const { client } = clientWith(() => Response.json({}, { headers: { date } }), now)
  await client.about()
  expect(client.clockOffsetMs).toBe(offset)
})
