import type { Phase } from "./phase"
import type { Rebuild } from "./rebuild"
import { median, type Tally } from "./tally"

const nothing = "–"
const headWidth = 25
const columnWidth = 13

/** A row of the table: its heading, and the function that formats its cell for a phase. */
type Row = [head: string, cell: (phase: Phase) => string]

const rows: readonly Row[] = [
  ["duration", ({ others }) => `${others.seconds.toFixed(1)} s`],
  ["rebuild: attempts", ofRebuild(({ attempts }) => whole(attempts))],
  ["rebuild: conflicts", ofRebuild(({ conflicts }) => whole(conflicts))],
  ["rebuild: finished", ofRebuild(describeEnd)],
  ["others: reads per second", ({ others }) => whole(others.reads / others.seconds)],
  ["others: writes committed", ofOthers("commits")],
  ["others: writes vetoed", ofOthers("vetoes")],
  ["others: accesses refused", ofOthers("refusals")],
  ["others: median refusal", ({ others }) => duration(median(others.refusalMicroseconds))],
]

/** Formats the measurements as a table, with one column for each phase. */
export function tableOf(phases: readonly Phase[]): string {
  const rule = "─".repeat(headWidth + columnWidth * phases.length)
  const titles = line(
    "",
    phases.map(({ name }) => name.toUpperCase()),
  )
  const lines = rows.map(([head, cell]) => line(head, phases.map(cell)))
  return [titles, rule, ...lines, rule].map((text) => `  ${text}`).join("\n")
}

function line(head: string, cells: readonly string[]): string {
  return head.padEnd(headWidth) + cells.map((cell) => cell.padStart(columnWidth)).join("")
}

function ofRebuild(cell: (rebuild: Rebuild) => string): (phase: Phase) => string {
  return ({ rebuild }) => (rebuild ? cell(rebuild) : nothing)
}

function ofOthers(count: "commits" | "vetoes" | "refusals"): (phase: Phase) => string {
  return ({ others }: { others: Tally }) => whole(others[count])
}

function describeEnd({ finishedInMs }: Rebuild): string {
  return finishedInMs === undefined ? "NO" : `yes, ${(finishedInMs / 1000).toFixed(1)} s`
}

function whole(number: number): string {
  return Math.round(number).toLocaleString("en")
}

function duration(microseconds: number | undefined): string {
  if (microseconds === undefined) return nothing
  return microseconds < 1000 ? `${microseconds.toFixed(0)} µs` : `${(microseconds / 1000).toFixed(1)} ms`
}
