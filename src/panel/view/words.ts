import { html } from "hono/html"
import type { HtmlEscapedString } from "hono/utils/html"
import type { MaintenanceControl, Mode } from "../../index"

/** A piece of HTML, in which every value was escaped. */
export type Html = HtmlEscapedString | Promise<HtmlEscapedString>

/** A blocker, as `blockers()` returns it. */
export type Blocker = Awaited<ReturnType<MaintenanceControl["blockers"]>>[number]

/** What a mode means for other users. */
export const meaningOf: Readonly<Record<Mode, string>> = {
  normal: "Nothing is restricted",
  concurrent: "Others read; changes are vetoed at commit",
  exclusive: "Only the maintainer gets a connection",
}

/** The names of the modes. */
export const nameOf: Readonly<Record<Mode, string>> = {
  normal: "Normal",
  concurrent: "Concurrent (read-only)",
  exclusive: "Exclusive",
}

/** A duration in its two largest units, such as `4 m 12 s`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`
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

/** The time from now to a moment, or since it, which the script counts. */
export function counted(moment: Date, now: Date): Html {
  return html`<time datetime="${moment.toISOString()}" data-count
    >${duration(Math.abs(moment.getTime() - now.getTime()))}</time
  >`
}
