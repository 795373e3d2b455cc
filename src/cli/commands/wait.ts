import type { Command } from "commander"
import { type ConnectedControl, type MaintenanceReport, type Mode, StateUnavailableError } from "../../index"
import { formatDuration, parseDuration } from "../duration"
import { exitCode } from "../exit-code"
import { interruptible } from "../interruption"
import { allModes, modeOf } from "../mode-argument"
import { newsWithin } from "../news"
import { note, print, printJson } from "../screen"
import { readStatus, type SessionOptions, withSession } from "../session"
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
      "\nExample:\n  $ npx typeorm-maintenance wait normal --timeout 30m && npm run nightly-import",
    )
    .action(async (text: string, options: WaitOptions) => {
      const mode = modeOf(text, allModes)
      const timeoutMs =
        options.timeout === undefined ? undefined : parseDuration(options.timeout, "--timeout")
      const report = await interruptible((signal) =>
        withSession(options, ({ control }) => waitFor(control, mode, { timeoutMs, signal })),
      )
      const is = report.state === mode
      if (options.json) printJson({ is, mode: report.mode, state: report.state })
      else print(modeLine(report))
      if (is) return
      if (!options.json) note(`The mode was not ${mode} within ${formatDuration(timeoutMs ?? 0)}.`)
      answer(exitCode.no)
    })
}

/** Resolves with the first status of this mode, or with the last one after the timeout. */
async function waitFor(
  control: ConnectedControl,
  mode: Mode,
  { timeoutMs, signal }: { timeoutMs: number | undefined; signal: AbortSignal },
): Promise<MaintenanceReport> {
  const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs
  for (;;) {
    const leftMs = deadline - performance.now()
    const report = await readStatus(control).catch((error: unknown) => {
      // An outage is waited for, too, as long as there is time.
      if (!(error instanceof StateUnavailableError) || leftMs <= 0) throw error
      return undefined
    })
    if (report && (report.state === mode || leftMs <= 0)) return report
    await newsWithin(control, Math.min(lookEveryMs, leftMs), signal)
  }
}
