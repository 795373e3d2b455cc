import { printTable } from "../../bench/table"
import type { Outcome } from "./conductor"
import type { Settings } from "./settings"

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`

/** Prints the result of a soak. */
export function printReport(
  { tally, auditor, announcements, timeline, findings, memory }: Outcome,
  settings: Settings,
): void {
  const count = (outcome: string) => String(tally.outcomes.get(outcome) ?? 0)
  const faults = Object.values(timeline.counts).reduce((sum, one) => sum + one, 0)
  printTable(
    "soak",
    ["", ""],
    [
      ["seed", String(settings.seed)],
      ["minutes", (settings.durationMs / 60_000).toFixed(1)],
      ["switches", String(tally.switches)],
      ["windows watched for leaks", `${auditor.windows}, ${seconds(auditor.watchedMs)} altogether`],
      [
        "announced windows begun",
        `${announcements.begun}, ${announcements.outlived} of them after the death of who announced them`,
      ],
      ["attempts done", count("done")],
      ["vetoes", count("WriteVetoedError")],
      ["refusals", count("AccessRefusedError")],
      ["faults", String(faults)],
      ["longest enter()", seconds(tally.longestEnterMs)],
      ["longest outage", seconds(tally.longestOutageMs)],
      ["leaks", String(findings.count("leak"))],
      ["hangs", String(findings.count("hang"))],
      ["inconsistencies", String(findings.count("inconsistency"))],
    ],
  )
  printTable("faults", ["kind", "times"], rowsOf(Object.entries(timeline.counts)))
  printTable("what the calls of maintainers came to", ["call", "times"], rowsOf([...tally.calls]))
  printTable("what attempts came to", ["outcome", "times"], rowsOf([...tally.outcomes]))
  printTable(
    "memory of each process that lives at the end, from its start on",
    ["process", "at first", "at last", "most"],
    memory.map(({ name, atBegin, atEnd, most }) => [
      name,
      mebibytes(atBegin),
      mebibytes(atEnd),
      mebibytes(most),
    ]),
  )
  if (findings.summary.length > 0) printTable("found", ["what", "times"], rowsOf(findings.summary))
}

function rowsOf(counts: readonly (readonly [string, number])[]): string[][] {
  return counts
    .toSorted(([, some], [, others]) => others - some)
    .map(([name, count]) => [name, String(count)])
}
