import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'

/** What each folder of src may import, besides itself and packages. */
const MAY: Record<string, readonly string[]> = {
  model: [],
  api: ['model'],
  state: ['model', 'api'],
  components: ['model'],
  pages: ['model', 'api', 'state', 'components'],
}

const SOURCE = join(import.meta.dirname, '../src')
const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(ts|svelte)$/.test(name))

function importsOf(name: string): string[] {
  const text = readFileSync(join(SOURCE, name), 'utf8')
  return [...text.matchAll(/from '(\.[^']+)'/g)].map(([, path]) => normalize(join(dirname(name), path ?? '')))
}

const folder = (name: string): string => name.split('/')[0] ?? ''

test.each(Object.keys(MAY))('%s imports only what lies below it', (room) => {
  const wrong = files
    .filter((name) => folder(name) === room)
    .flatMap((name) => importsOf(name).map((path) => ({ name, path })))
    .filter(({ path }) => folder(path) !== room && !MAY[room]?.includes(folder(path)))
  expect(wrong).toEqual([])
})

test('the folders are all known', () => {
  expect(new Set(files.filter((name) => name.includes('/')).map(folder))).toEqual(new Set(Object.keys(MAY)))
})
