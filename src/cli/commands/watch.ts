import type { Command } from "commander"
import {
  type Blocker,
  type ConnectedControl,
  type MaintenanceReport,
  StateUnavailableError,
} from "../../index"
import { Interruption, interruptible } from "../interruption"
import { newsWithin } from "../news"
import { isRead, LiveText, note, print, printJsonLine } from "../screen"
import { readStatus, type SessionOptions, withSession } from "../session"
import { blockersTable } from "../text/blockers"
import { modeLine, statusText } from "../text/status"
import { formatTime } from "../time"
import { connecting } from "../window-options"

/** Time between two readings, in milliseconds. */
const everyMs = 1000
/** Time over which refusals are averaged, in milliseconds: instances report theirs within 10 seconds. */
const rateOverMs = 10_000

const noAnswer = "The database does not answer. Trying again."

/** The state as shown at one moment. */
interface Sight {
  readonly report: MaintenanceReport
  readonly blockers: readonly Blocker[]
  readonly refusalsPerSecond: number
}

/** Adds the command `watch`. */
export function addWatch(program: Command): void {
  connecting(program.command("watch"))
    .description("show what goes on, until Ctrl-C: mode, instances, blockers, refusals a second")
    .addHelpText(
      "after",
      "\nOn a terminal the text is rewritten each second. Otherwise, and with --json, a line is printed for each change.\n\nExample:\n  $ npx typeorm-maintenance-mode watch",
    )
    .action(async (options: SessionOptions) => {
      await interruptible((signal) =>
        withSession(options, ({ control }) => follow(control, options, signal)),
      ).catch((error: unknown) => {
        // Ctrl-C is the way to end it.
        if (!(error instanceof Interruption)) throw error
      })
    })
}

async function follow(
  control: ConnectedControl,
  { json }: SessionOptions,
  signal: AbortSignal,
): Promise<void> {
  const live = new LiveText(process.stdout)
  const rate = new RefusalRate()
  let last: string | undefined
  for (;;) {
    const sight = await look(control, rate).catch(outage)
    if (!isRead()) return
    if (live.isLive && !json) live.show(sight ? sightText(sight) : `${formatTime(new Date())}    ${noAnswer}`)
    else {
      const key = sight ? keyOf(sight) : noAnswer
      if (key !== last && !sight) note(noAnswer)
      else if (key !== last && sight) (json ? printJsonLine : printLine)(sight)
      last = key
    }
    await newsWithin(control, everyMs, signal).finally(() => signal.aborted && live.keep())
  }
}

/** Passes over an outage: the database may come back. */
function outage(error: unknown): undefined {
  if (!(error instanceof StateUnavailableError)) throw error
  return undefined
}

async function look(control: ConnectedControl, rate: RefusalRate): Promise<Sight> {
  const report = await readStatus(control)
  const blockers = report.state === "entering" ? await control.blockers() : []
  return { report, blockers, refusalsPerSecond: rate.of(report) }
}

function sightText({ report, blockers, refusalsPerSecond }: Sight): string {
  const lines = [
    `${formatTime(new Date())}    ${statusText(report)}`,
    `  refused   ${refusalsPerSecond.toFixed(1)} a second`,
  ]
  if (blockers.length > 0) lines.push("", blockersTable(blockers))
  return lines.join("\n")
}

function printLine(sight: Sight): void {
  print(sightLine(sight))
}

function sightLine({ report, blockers, refusalsPerSecond }: Sight): string {
  const waits = blockers.length > 0 ? `, waits for ${blockers.length}` : ""
  const count = report.instances.length === 1 ? "1 instance" : `${report.instances.length} instances`
  return `${formatTime(new Date())} ${modeLine(report)}${waits}; ${count}, ${refusalsPerSecond.toFixed(1)} refused a second`
}

/** Digest of everything for which a new line is printed. */
function keyOf({ report, blockers }: Sight): string {
  const { state, epoch, instances, progress } = report
  const pids = blockers.map(({ pid }) => pid)
  const refused = instances.map(({ refusals }) => refusals)
  return JSON.stringify([state, epoch, instances.map(({ id }) => id), pids, refused, progress])
}

/** Derives refusals a second from the counters of the instances. */
class RefusalRate {
  #readings: { readonly at: number; readonly counts: ReadonlyMap<number, number> }[] = []

  of({ instances }: MaintenanceReport): number {
    const at = performance.now()
    const counts = new Map(instances.map(({ id, refusals }) => [id, refusals]))
    this.#readings.push({ at, counts })
    // One reading at the beginning of the time is kept.
    while ((this.#readings[1]?.at ?? at) <= at - rateOverMs) this.#readings.shift()
    const first = this.#readings[0]
    if (!first || at - first.at < everyMs / 2) return 0
    const sums = [...counts].map(([id, count]) => count - (first.counts.get(id) ?? count))
    return sums.reduce((sum, count) => sum + count, 0) / ((at - first.at) / 1000)
  }
}
