import type { Blocker } from "../../index"
import { formatDuration } from "../duration"
import { plain } from "../plain"
import { table } from "./table"

/** The blockers as a table, oldest first. */
export function blockersTable(blockers: readonly Blocker[]): string {
  const rows = blockers.map((blocker) => [
    blocker.pid === undefined ? "-" : String(blocker.pid),
    blocker.pid === undefined ? `prepared: ${blocker.transaction}` : (blocker.application ?? ""),
    blocker.user ?? "",
    blocker.ageMs === undefined ? "?" : formatDuration(blocker.ageMs),
    blocker.isHidden ? "hidden" : (blocker.state ?? ""),
    blocker.hasWritten ? "yes" : "no",
    blocker.query === undefined ? "" : blocker.query.replaceAll(/\s+/g, " ").slice(0, 60),
  ])
  return table(
    [
      { title: "PID", isRight: true },
      { title: "APPLICATION" },
      { title: "USER" },
      { title: "AGE", isRight: true },
      { title: "STATE" },
      { title: "WROTE" },
      { title: "STATEMENT" },
    ],
    rows,
  )
}

/** The blockers in one line: the oldest, and the number of the others. */
export function blockersLine(blockers: readonly Blocker[]): string {
  const [oldest] = blockers
  if (!oldest) return "no transaction"
  const { pid, transaction, application, state, ageMs } = oldest
  const name = pid === undefined ? `prepared transaction ${transaction}` : `backend ${pid}`
  const facts = [
    application,
    pid === undefined ? undefined : state,
    ageMs === undefined ? undefined : formatDuration(ageMs),
  ]
  const others = blockers.length > 1 ? ` and ${blockers.length - 1} more` : ""
  return plain(`${name} (${facts.filter(Boolean).join(", ")})${others}`)
}

/** Advice about blockers whose activity PostgreSQL hides from this role. */
export function hiddenNote(blockers: readonly Blocker[]): string | undefined {
  return blockers.some(({ isHidden }) => isHidden)
    ? "PostgreSQL hides what some sessions do from this role. Grant it pg_read_all_stats to see more."
    : undefined
}
