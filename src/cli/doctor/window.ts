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
  const findings: Finding[] = [
    {
      severity: "warning",
      check,
      message: `${window} does not end by itself.`,
      remedy: `If it should, run: ${next("extend --expires 30m")}`,
    },
    {
      severity: "warning",
      check,
      message: `${window} is interrupted: the process that waited for its drain, or ran its work, is gone.`,
      remedy: `Ask ${maintainer}. To end it, run: ${next("leave")}`,
    },
    {
      severity: "warning",
      check,
      message: `${window} was to be done at ${plannedUntil ? formatTime(plannedUntil) : "an earlier time"}.`,
      remedy: `Ask ${maintainer}.`,
    },
  ]
  const applies = [expiresAt === undefined && graceMs === undefined, isInterrupted, isOverdue === true]
  const found = findings.filter((_, index) => applies[index])
  return found.length > 0 ? found : [{ severity: "note", check, message: `${window} is in force.` }]
}
