import { nextCommand } from "../next-command"
import { shellWord } from "../plain"
import { formatTime } from "../time"
import type { Check } from "./examination"
import type { Finding } from "./finding"

const check = "window"

/** Examines the window in force. */
export const checkWindow: Check = async ({ report, options }) => {
  if (!report) return []
  const { mode, maintainer, since, expiresAt, graceMs, isInterrupted, isOverdue, plannedUntil } = report
  if (mode === "normal") return [{ severity: "ok", check, message: "The mode is normal." }]
  const next = (command: string) => nextCommand(`${command} --as=${shellWord(maintainer ?? "")}`, options)
  const window = `The ${mode} window of ${maintainer}, since ${since ? formatTime(since) : "an unknown time"},`
  const findings: Finding[] = []
  const warn = (message: string, remedy: string) =>
    findings.push({ severity: "warning", check, message: `${window} ${message}`, remedy })
  if (expiresAt === undefined && graceMs === undefined)
    warn("does not end by itself.", `If it should, run: ${next("extend --expires 30m")}`)
  if (isInterrupted)
    warn(
      "is interrupted: the process that waited for its drain, or ran its work, is gone.",
      `Ask ${maintainer}. To end it, run: ${next("leave")}`,
    )
  if (isOverdue)
    warn(
      `was to be done at ${plannedUntil ? formatTime(plannedUntil) : "an earlier time"}.`,
      `Ask ${maintainer}.`,
    )
  return findings.length > 0 ? findings : [{ severity: "note", check, message: `${window} is in force.` }]
}
