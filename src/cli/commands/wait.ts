import type { Command } from "commander"
import { setTimeout as pause } from "node:timers/promises"
import { type ConnectedControl, type MaintenanceReport, type Mode, StateUnavailableError } from "../../index"
import { formatGiven, parseDuration } from "../duration"
import { exitCode } from "../exit-code"
import { interruptible } from "../interruption"
import { allModes, modeOf } from "../mode-argument"
import { newsWithin } from "../news"
import { note, print, printJson } from "../screen"
import { connected, readStatus, sayTarget, type SessionOptions } from "../session"
import { findTarget, type Target } from "../target"
import { modeLine } from "../text/status"
import { connecting } from "../window-options"

interface WaitOptions extends SessionOptions {
  readonly timeout?: string
}

/** Time after which the state is read even without news, in milliseconds. */
const lookEveryMs = 1000

/** Adds the command `wait`. */
export function addWait(program: Command, answer: (code: number) => void): void {
  connecting(program.command("wait"))
    .argument("<mode>", "normal, concurrent or exclusive")
    .option("--timeout <duration>", "longest time to wait (default: no limit); then exit with 1")
    .description("wait until this is the mode")
    .addHelpText(
      "after",
      "\nExample:\n  $ npx typeorm-maintenance-mode wait normal --timeout 30m && npm run nightly-import",
    )
    .action(async (text: string, options: WaitOptions) => {
      const mode = modeOf(text, allModes)
      const timeoutMs =
        options.timeout === undefined ? undefined : parseDuration(options.timeout, "--timeout")
      const target = await findTarget(options)
      if (!options.json) sayTarget(target)
      const report = await interruptible((signal) => waitFor(target, mode, { timeoutMs, signal }))
      const is = report?.state === mode
      if (options.json) printJson({ is, mode: report?.mode ?? null, state: report?.state ?? null })
      else if (report) print(modeLine(report))
      if (is) return
      if (!options.json) {
        if (!report) note("The database did not answer; the mode is not known.")
        note(`The mode was not seen to be ${mode} within ${formatGiven(timeoutMs ?? 0)}.`)
      }
      answer(exitCode.no)
    })
}

interface Limits {
  /** Time at which to end, as given by `performance.now()`. */
  readonly deadline: number
  readonly signal: AbortSignal
}

/**
 * Resolves with the first status of this mode, or with the last one after the timeout; with undefined if the database
 * does not answer then. An outage is waited for.
 */
async function waitFor(
  target: Target,
  mode: Mode,
  { timeoutMs, signal }: { timeoutMs: number | undefined; signal: AbortSignal },
): Promise<MaintenanceReport | undefined> {
  const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs
  const interrupted = aborted(signal)
  for (;;) {
    const waiting = connected(target, {}, ({ control }) => follow(control, mode, { deadline, signal }))
    try {
      return await Promise.race([waiting, interrupted])
    } catch (error) {
      if (!(error instanceof StateUnavailableError)) throw error
    }
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) return undefined
    await pause(Math.min(lookEveryMs, leftMs), undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

/** Does the same over one connection. Throws StateUnavailableError if the database does not answer at the deadline. */
async function follow(
  control: ConnectedControl,
  mode: Mode,
  { deadline, signal }: Limits,
): Promise<MaintenanceReport> {
  for (;;) {
    const leftMs = deadline - performance.now()
    const report = await readStatus(control).catch((error: unknown) => {
      if (!(error instanceof StateUnavailableError) || leftMs <= 0) throw error
      return undefined
    })
    if (report && (report.state === mode || leftMs <= 0)) return report
    await newsWithin(control, Math.max(0, Math.min(lookEveryMs, leftMs)), signal)
  }
}

/** Rejects when a signal is aborted: connecting does not listen to it. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }),
  )
}
