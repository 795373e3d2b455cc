import { html } from "hono/html"
import type { HtmlEscapedString } from "hono/utils/html"
import type { DrainOutcome, MaintenanceControl, MaintenanceReport, Mode } from "../../index"

/** A piece of HTML, in which every value was escaped. */
export type Html = HtmlEscapedString | Promise<HtmlEscapedString>

/** A blocker, as `blockers()` returns it. */
export type Blocker = Awaited<ReturnType<MaintenanceControl["blockers"]>>[number]

/** The fate of the transactions that are still open at the deadline. */
export const outcomeOf: Readonly<Record<DrainOutcome, string>> = {
  abandon: "the previous mode is restored",
  proceed: "the mode is entered without them, and their changes are refused",
  cancel: "their statements are cancelled",
  terminate: "their sessions are terminated",
}

/** Meaning of each mode for other users. */
export const meaningOf: Readonly<Record<Mode, string>> = {
  normal: "Nothing is restricted",
  concurrent: "Other users can only read",
  exclusive: "Other users can neither read nor write",
}

/** The names of the modes. The hyphen is one that does not break. */
export const nameOf: Readonly<Record<Mode, string>> = {
  normal: "Normal",
  concurrent: "Concurrent (read\u2011only)",
  exclusive: "Exclusive",
}

/** The mode in force, and whether it is still being entered. */
export function titleOf({ mode, state }: Pick<MaintenanceReport, "mode" | "state">): string {
  return state === "entering" ? `Entering ${nameOf[mode].toLowerCase()}` : nameOf[mode]
}

/** A number of things, such as `1 transaction`. */
export function numberOf(count: number, thing: string): string {
  return `${number(count)} ${thing}${count === 1 ? "" : "s"}`
}

/** Units of a duration, in seconds, with the next smaller unit. The script has the same. */
const units = [
  [86_400, "d", 3600, "h"],
  [3600, "h", 60, "m"],
  [60, "m", 1, "s"],
] as const

/** A duration in its two largest units, such as `4 m 12 s`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  for (const [size, name, smaller, smallerName] of units) {
    if (seconds < size) continue
    const rest = Math.floor((seconds % size) / smaller)
    return `${Math.floor(seconds / size)} ${name}${rest === 0 ? "" : ` ${rest} ${smallerName}`}`
  }
  return `${seconds} s`
}

/** A number with thousands apart. */
export function number(value: number): string {
  return value.toLocaleString("en")
}

/** A time in UTC, which the script shows in the zone of the browser. */
export function clock(time: Date): Html {
  const text = `${time.toISOString().slice(0, 16).replace("T", " ")} UTC`
  return html`<time datetime="${time.toISOString()}" data-clock>${text}</time>`
}

/** The time since a moment, which the script counts. */
export function since(moment: Date, now: Date): Html {
  return counted(moment, duration(now.getTime() - moment.getTime()), "up")
}

/** The time until a moment, which the script counts down to 0. */
export function until(moment: Date, now: Date): Html {
  return counted(moment, duration(moment.getTime() - now.getTime()), "down")
}

function counted(moment: Date, text: string, direction: "up" | "down"): Html {
  return html`<time datetime="${moment.toISOString()}" data-count="${direction}">${text}</time>`
}
