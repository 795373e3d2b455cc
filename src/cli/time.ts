import { InputFault } from "./input-fault"
import { parseDuration } from "./duration"

/**
 * Parses a time: `22:00` (today, local time), `2026-11-29 22:00`, an ISO time, or a duration from now such as `30m`.
 * Throws InputFault, also for a time that is past.
 */
export function parseTime(text: string, option: string, now = new Date()): Date {
  const time = timeIn(text, option, now)
  if (time > now) return time
  const tomorrow = new Date(time.getTime() + 86_400_000)
  throw new InputFault(
    `${option} "${text}" is in the past: it is ${formatTime(now)} now.` +
      (clockTime.test(text)
        ? ` For tomorrow, write "${formatDay(tomorrow)} ${text}".`
        : " Name a later time."),
  )
}

/**
 * Parses a time that is past, for a range: like `parseTime()`, but a duration counts back from now, and `22:00` is the
 * last one. Throws InputFault, also for a time to come.
 */
export function parseSince(text: string, option: string, now = new Date()): Date {
  if (duration.test(text)) return new Date(now.getTime() - parseDuration(text, option))
  const time = timeIn(text, option, now)
  if (clockTime.test(text) && time > now) time.setDate(time.getDate() - 1)
  if (time <= now) return time
  throw new InputFault(
    `${option} "${text}" is still to come: it is ${formatTime(now)} now. Name an earlier time.`,
  )
}

/** Begin of a duration. */
const duration = /^\d+(\.\d+)?\s*(ms|s|m|h|d)/
const clockTime = /^([01]?\d|2[0-3]):([0-5]\d)$/

function timeIn(text: string, option: string, now: Date): Date {
  const clock = clockTime.exec(text)
  if (clock) {
    const time = new Date(now)
    time.setHours(Number(clock[1]), Number(clock[2]), 0, 0)
    return time
  }
  if (duration.test(text)) return new Date(now.getTime() + parseDuration(text, option))
  const [, day] = /^(\d{4}-\d\d-\d\d)(?:[T ]|$)/.exec(text) ?? []
  const time =
    day !== undefined && isDay(day) ? new Date(text.includes(":") ? text : `${text} 00:00`) : undefined
  if (time && !Number.isNaN(time.getTime())) return time
  throw new InputFault(`${option} "${text}" is not a time. Write it like 22:00, "2026-11-29 22:00" or 30m.`)
}

/** Whether the calendar has a day such as `2026-02-28`. Date takes 31 February for 3 March. */
function isDay(day: string): boolean {
  const time = new Date(`${day}T00:00Z`)
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(day)
}

/** Formats a time in the local zone: without its day if that is today. */
export function formatTime(time: Date, now = new Date()): string {
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(":")
  return formatDay(time) === formatDay(now) ? clock : `${formatDay(time)} ${clock}`
}

function formatDay(time: Date): string {
  return [time.getFullYear(), twoDigits(time.getMonth() + 1), twoDigits(time.getDate())].join("-")
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0")
}
