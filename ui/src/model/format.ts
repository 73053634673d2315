/** Numbers, units and times as people read them. */

const KIBI = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const KILO = ['', 'k', 'M', 'G', 'T', 'P']

/** How the numbers of one axis are written: all of them in the same unit. */
export interface Scale {
  divisor: number
  suffix: string
}

/** The scale on which `largest` reads well. `unit` is a UCUM code (`%`, `By`, `s`, `{packet}`). */
export function scaleFor(unit: string, largest: number): Scale {
  const size = Math.abs(largest)
  const { base, per } = splitUnit(unit)
  switch (base) {
    case '%':
      return { divisor: 1, suffix: ` %${per}` }
    case '1':
      return per === '' ? { divisor: 0.01, suffix: ' %' } : thousands(size, per)
    case 'By': {
      const power = powerOf(size, 1024, KIBI.length)
      return { divisor: 1024 ** power, suffix: ` ${KIBI[power]}B${per}` }
    }
    case 's':
      return per === '' ? seconds(size) : thousands(size, ` s${per}`)
    case 'ms':
      return per === '' ? shrink(seconds(size / 1000), 1000) : thousands(size, ` ms${per}`)
    case 'Cel':
      return { divisor: 1, suffix: ' °C' }
    case '':
      return thousands(size, per)
    default:
      return thousands(size, spaced(`${word(base)}${per}`))
  }
}

/** `number` on a scale, with at most `digits` significant digits after the first. */
export function onScale(value: number, scale: Scale, digits = 3): string {
  return `${significant(value / scale.divisor, digits)}${scale.suffix}`
}

/** A single value with its unit: `63.2 %`, `1.5 GiB`, `12.3 MiB/s`. */
export function formatValue(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–'
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞'
  return onScale(value, scaleFor(unit, value))
}

/** The unit of a counter's increase per second. */
export function perSecond(unit: string): string {
  return unit === 's' ? '1' : `${unit}/s`
}

/** `3` digits: 0.123, 1.23, 12.3, 123, 1,234. */
export function significant(value: number, digits = 3): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size < 0.001 || size >= 1e15) return value.toExponential(Math.max(0, digits - 1))
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)))
  return value.toLocaleString('en-US', { maximumFractionDigits: decimals })
}

/** `0 s`, `45 s`, `5 min`, `1 h 30 min`, `3 d 4 h`: at most two parts. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  if (seconds > 0 && seconds < 1) return `${Math.round(seconds * 1000)} ms`
  let rest = Math.round(Math.max(0, seconds))
  if (rest === 0) return '0 s'
  const parts: string[] = []
  for (const [name, size] of SPANS) {
    const count = Math.floor(rest / size)
    if (count > 0) parts.push(`${count} ${name}`)
    else if (parts.length > 0) break
    rest -= count * size
    if (parts.length === 2) break
  }
  return parts.join(' ')
}

const SPANS: readonly [string, number][] = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
]

/** `5m`, `1h30m`, `90`: seconds. Null where the text is no duration. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim().replaceAll(' ', '')
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed)
  if (!/^(\d+(\.\d+)?(ms|s|min|m|h|d|w))+$/.test(trimmed)) return null
  let total = 0
  for (const [, number, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|min|m|h|d|w)/g)) {
    total += Number(number) * (SECONDS[unit ?? ''] ?? 0)
  }
  return total
}

const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, min: 60, h: 3_600, d: 86_400, w: 604_800 }

/** The text that `parseDuration` reads back: 5400 is `1h30m`. */
export function durationText(seconds: number): string {
  let rest = Math.round(seconds)
  if (rest === 0) return '0s'
  let text = ''
  for (const [name, size] of [['d', 86_400], ['h', 3_600], ['m', 60], ['s', 1]] as const) {
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${name}`
    rest -= count * size
  }
  return text
}

/** `just now`, `45 s ago`, `3 min ago`, `2 d ago`; `in 5 min` for what is to come. */
export function formatAgo(atMs: number, nowMs: number): string {
  const seconds = (nowMs - atMs) / 1000
  if (Math.abs(seconds) < 3) return 'just now'
  return seconds > 0 ? `${coarse(seconds)} ago` : `in ${coarse(-seconds)}`
}

/** `32 s`, `3 min`, `2 d`: the largest part alone. */
export function coarse(seconds: number): string {
  for (const [name, size] of SPANS) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name}`
  }
  return '0 s'
}

/** Local date and time to the second, `2026-11-23 11:37:23`. */
export function formatTime(atMs: number): string {
  const at = new Date(atMs)
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${formatClock(atMs)}`
}

/** Local time of day, `11:37:23`. */
export function formatClock(atMs: number): string {
  const at = new Date(atMs)
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** The same moment with its zone, for a tooltip: `2026-11-23 11:37:23 UTC+01:00`. */
export function formatTimeWithZone(atMs: number): string {
  const offset = -new Date(atMs).getTimezoneOffset()
  const sign = offset < 0 ? '-' : '+'
  const zone = offset === 0 ? '' : `${sign}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`
  return `${formatTime(atMs)} UTC${zone}`
}

/** A count with its noun: `1 rule`, `3 rules`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}

function splitUnit(unit: string): { base: string; per: string } {
  const slash = unit.indexOf('/')
  return slash < 0 ? { base: unit, per: '' } : { base: unit.slice(0, slash), per: `/${word(unit.slice(slash + 1))}` }
}

/** `{packet}` without its braces. */
function word(unit: string): string {
  return unit.replace(/[{}]/g, '')
}

function spaced(suffix: string): string {
  return suffix === '' ? '' : ` ${suffix}`
}

function powerOf(size: number, base: number, count: number): number {
  if (size < base) return 0
  return Math.min(count - 1, Math.floor(Math.log(size) / Math.log(base) + 1e-9))
}

function thousands(size: number, suffix: string): Scale {
  const power = size < 10_000 ? 0 : powerOf(size, 1000, KILO.length)
  const letter = KILO[power] ?? ''
  return { divisor: 1000 ** power, suffix: letter === '' ? spaced(suffix.trim()) : ` ${letter}${suffix.trimStart()}` }
}

function seconds(size: number): Scale {
  if (size === 0 || (size >= 1 && size < 120)) return { divisor: 1, suffix: ' s' }
  if (size < 0.001) return { divisor: 1e-6, suffix: ' µs' }
  if (size < 1) return { divisor: 0.001, suffix: ' ms' }
  if (size < 7_200) return { divisor: 60, suffix: ' min' }
  return size < 172_800 ? { divisor: 3_600, suffix: ' h' } : { divisor: 86_400, suffix: ' d' }
}

function shrink(scale: Scale, by: number): Scale {
  return { divisor: scale.divisor * by, suffix: scale.suffix }
}
