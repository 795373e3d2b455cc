import type { MaintenanceReport, MaintenanceWindow, Mode } from "../../index"
import { formatDuration, formatGiven } from "../duration"
import { plain } from "../plain"
import { styled, type Style } from "../screen"
import { formatTime } from "../time"

/** A window that is announced. */
type Announced = Extract<MaintenanceWindow, { position: "announced" }>

const styleOf: Readonly<Record<Mode, Style>> = { normal: "green", concurrent: "yellow", exclusive: "red" }
/** Meaning of each mode for other users, in the words of the panel. */
const meaningOf: Readonly<Record<Mode, string>> = {
  normal: "nothing is restricted",
  concurrent: "other users can only read",
  exclusive: "other users can neither read nor write",
}

/** The status for people, several lines. */
export function statusText(report: MaintenanceReport, now = new Date()): string {
  const { mode, state, maintainer, since, reason, message } = report
  const name = state === "entering" ? `entering ${mode}` : mode
  const facts: (readonly [string, string | undefined])[] = [
    ["by", maintainer && since && `${maintainer}, since ${formatTime(since, now)} (${ago(since, now)})`],
    ["reason", reason],
    ["message", message],
    ["drain", drainText(report, now)],
    ["planned", plannedText(report, now)],
    ["ends", endText(report, now)],
    ["progress", progressText(report, now)],
    ["below", belowText(report)],
    ["instances", instancesText(report)],
    ...report.windows.filter(isAnnounced).map((window) => ["announced", announcedText(window, now)] as const),
  ]
  const given = facts.filter((fact): fact is readonly [string, string] => fact[1] !== undefined)
  const title = `${styled("bold", styled(styleOf[mode], name))}: ${meaningOf[mode]}`
  return [title, ...given.map(([label, text]) => `  ${label.padEnd(10)}${plain(text)}`)].join("\n")
}

/** The mode in one line, for people. */
export function modeLine(
  report: Pick<MaintenanceReport, "mode" | "maintainer" | "reason"> & { state?: string },
): string {
  const { mode, state, maintainer, reason } = report
  const name = state === "entering" ? `entering ${mode}` : mode
  return plain([name, maintainer && `by ${maintainer}`, reason && `(${reason})`].filter(Boolean).join(" "))
}

/** The windows that are announced. */
export function announcedIn({ windows }: Pick<MaintenanceReport, "windows">): Announced[] {
  return windows.filter(isAnnounced)
}

/** An announced window, in one line. */
export function announcedText(window: Announced, now = new Date()): string {
  const { id, mode, maintainer, reason, startsAt, expiresInMs } = window
  const length = expiresInMs === undefined ? "" : `, for ${formatGiven(expiresInMs)}`
  return `${mode} by ${maintainer} at ${formatTime(startsAt, now)} (${until(startsAt, now)})${length}${reason ? `: ${reason}` : ""} [${id}]`
}

function isAnnounced(window: MaintenanceWindow): window is Announced {
  return window.position === "announced"
}

function drainText({ state, isInterrupted, windows }: MaintenanceReport, now: Date): string | undefined {
  if (isInterrupted)
    return "interrupted: the process that waited for it, or ran its work, is gone; enter again to wait, or leave"
  if (state !== "entering") return undefined
  const entering = windows.findLast((window) => window.position === "entering")
  if (entering?.position !== "entering" || !entering.drainsUntil) return "waits for commits under way"
  const { drainsUntil: end, drainsThen } = entering
  return `waits for in-flight transactions until ${formatTime(end, now)} (${until(end, now)}), then: ${drainsThen}`
}

function plannedText({ plannedUntil, isOverdue }: MaintenanceReport, now: Date): string | undefined {
  if (!plannedUntil) return undefined
  return isOverdue
    ? `overdue: was to be done at ${formatTime(plannedUntil, now)} (${ago(plannedUntil, now)})`
    : `done at ${formatTime(plannedUntil, now)} (${until(plannedUntil, now)})`
}

function endText({ mode, expiresAt, graceMs }: MaintenanceReport, now: Date): string | undefined {
  if (mode === "normal") return undefined
  const atLatest = expiresAt && `by itself at ${formatTime(expiresAt, now)} (${until(expiresAt, now)})`
  const alone = graceMs !== undefined && `${formatGiven(graceMs)} after its process is gone`
  if (!atLatest && !alone) return "not by itself: until somebody leaves"
  return [atLatest, alone].filter(Boolean).join(", or ")
}

function progressText({ progress }: MaintenanceReport, now: Date): string | undefined {
  if (!progress) return undefined
  const { done, total, note, at } = progress
  const share = total ? ` of ${total} (${Math.floor((100 * done) / total)} %)` : ""
  return `${done}${share}${note ? `, ${note}` : ""} (${ago(at, now)})`
}

function belowText({ windows }: MaintenanceReport): string | undefined {
  const below = windows.filter(({ position }) => position !== "announced").slice(0, -1)
  if (below.length === 0) return undefined
  return `${below.map(({ mode, maintainer }) => `${mode} by ${maintainer}`).join(", ")}, in force again if this window expires or is abandoned; to leave ends both`
}

function instancesText({ instances, epoch }: MaintenanceReport): string {
  const knowing = instances.filter((instance) => instance.epoch >= epoch).length
  return instances.length === 0 ? "none" : `${knowing} of ${instances.length} know this state`
}

function ago(time: Date, now: Date): string {
  return `${formatDuration(now.getTime() - time.getTime())} ago`
}

function until(time: Date, now: Date): string {
  return `in ${formatDuration(time.getTime() - now.getTime())}`
}
