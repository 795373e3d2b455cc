import { InputFault } from "./input-fault"

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Parses a duration such as `30m`, `90s` or `1h30m`; returns milliseconds. Throws InputFault. */
export function parseDuration(text: string, option: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*/gy)]
  const isWhole = parts.map(([part]) => part).join("") === text && parts.length > 0
  if (isWhole)
    return parts.reduce(
      (sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit as string] as number),
      0,
    )
  const hint = /^\d+$/.test(text)
    ? `It has no unit: write ${text}s, ${text}m or ${text}h.`
    : "The units are ms, s, m, h and d (days, the largest). Write it like 90s, 30m, 1h30m or 2d."
  throw new InputFault(`${option} "${text}" is not a duration. ${hint}`)
}

/** Formats a duration that somebody gave: one below a second is not rounded. */
export function formatGiven(ms: number): string {
  return ms < 1000 ? `${ms} ms` : formatDuration(ms)
}

/** Formats a measured duration in its two largest units, such as `4 m 12 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(Math.max(0, ms) / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return pair(minutes, "m", seconds % 60, "s")
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return pair(hours, "h", minutes % 60, "m")
  return pair(Math.floor(hours / 24), "d", hours % 24, "h")
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`
}
