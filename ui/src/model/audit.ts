export interface FieldChange {
  field: string
  before: string | null
  after: string | null
}

type Side = Record<string, unknown> | null

/** What differs between the two sides, field by field. */
export function changesOf(before: Side, after: Side): FieldChange[] {
  const fields = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])
  return [...fields].flatMap((field) => {
    const [old, now] = [textOf(before, field), textOf(after, field)]
    return old === now ? [] : [{ field, before: old, after: now }]
  })
}

function textOf(side: Side, field: string): string | null {
  const value = side?.[field]
  if (value === undefined || value === null) return null
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
