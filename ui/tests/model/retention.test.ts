import { describe, expect, it } from 'vitest'
import { checkPolicy, draftOf, itemsOf, moved, withItem } from '../../src/model/retention'
import type { RetentionPolicy } from '../../src/model/types'

const policy = (id: number, name: string): RetentionPolicy => ({
  id,
  position: id - 1,
  name,
  matchers: ['team="dev"'],
  raw: '2d',
  five_minutes: null,
  hours: null,
  version: 1,
  created_at: null,
  updated_at: null,
})
const draft = { name: 'Dev', matchers: 'team="dev"\nhost=~"web.*"', raw: '2d', five_minutes: '', hours: ' 1y ' }

describe('a policy that is typed', () => {
  it('is sent with an empty length as the default', () => {
    expect(checkPolicy(draft)).toEqual({
      item: { name: 'Dev', matchers: ['team="dev"', 'host=~"web.*"'], raw: '2d', five_minutes: null, hours: '1y' },
    })
  })

  it.each([
    [{ name: ' ' }, 'name'],
    [{ matchers: '' }, 'matchers'],
    [{ matchers: 'team' }, 'matchers'],
    [{ raw: 'soon' }, 'raw'],
    [{ raw: '', hours: '' }, 'raw'],
  ])('says what to correct: %o', (change, field) => {
    const checked = checkPolicy({ ...draft, ...change })
    expect('errors' in checked && Object.keys(checked.errors)).toEqual([field])
  })

  it('is what was saved when it is edited', () => {
    const checked = checkPolicy(draftOf(policy(1, 'a')))
    expect('item' in checked && { id: 1, ...checked.item }).toEqual(itemsOf([policy(1, 'a')])[0])
  })
})

describe('the list that is sent back', () => {
  const items = itemsOf([policy(1, 'a'), policy(2, 'b'), policy(3, 'c')])

  it('keeps who is who when one is changed or added', () => {
    const { id: _, ...item } = { ...items[1]!, name: 'B' }
    expect(withItem(items, 2, item).map((one) => [one.id, one.name])).toEqual([[1, 'a'], [2, 'B'], [3, 'c']])
    expect(withItem(items, null, item).map((one) => one.id)).toEqual([1, 2, 3, undefined])
  })

  it('is in another order when one is moved', () => {
    expect(moved(items, 2, -1).map((one) => one.name)).toEqual(['a', 'c', 'b'])
    expect(moved(items, 0, 1).map((one) => one.name)).toEqual(['b', 'a', 'c'])
  })
})
