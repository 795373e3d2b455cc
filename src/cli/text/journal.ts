import type { PastWindow } from "../../index"
import { formatDuration } from "../duration"
import { formatTime } from "../time"
import { table } from "./table"

/** The windows that are over, as a table. */
export function journalTable(windows: readonly PastWindow[], now = new Date()): string {
  const rows = windows.map((window) => [
    window.begunAt ? formatTime(window.begunAt, now) : "-",
    window.mode,
    window.maintainer,
    window.begunAt ? formatDuration(window.endedAt.getTime() - window.begunAt.getTime()) : "-",
    formatTime(window.endedAt, now),
    endingOf(window),
    String(window.refusals.reduce((sum, { count }) => sum + count, 0)),
    window.reason ?? "",
  ])
  return table(
    [
      { title: "BEGUN" },
      { title: "MODE" },
      { title: "BY" },
      { title: "FOR", isRight: true },
      { title: "ENDED" },
      { title: "HOW" },
      { title: "REFUSED CHANGES", isRight: true },
      { title: "REASON" },
    ],
    rows,
  )
}

function endingOf({ begunAt, endedBecause: because, endedBy, maintainer }: PastWindow): string {
  const endedBecause = begunAt === undefined && because === "switched" ? "superseded" : because
  return endedBy === undefined || endedBy === maintainer ? endedBecause : `${endedBecause} by ${endedBy}`
}
