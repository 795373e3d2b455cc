import type { Command } from "commander"
import { setTimeout as pause } from "node:timers/promises"
import {
  type MaintenanceControl,
  type MaintenanceStatus,
  OutcomeUnknownError,
  StateUnavailableError,
} from "../../index"
import { brokenOff } from "../broken-off"
import { ForwardedSignals, runChild, SpawnFault } from "../child"
import { canAsk, confirmExclusive } from "../confirmation"
import { showDraining } from "../drain-progress"
import { formatDuration, parseDuration } from "../duration"
import { exitCode } from "../exit-code"
import { reportFailure } from "../failure"
import { InputFault } from "../input-fault"
import { interruptible } from "../interruption"
import { modeOf, windowModes } from "../mode-argument"
import { nextCommand } from "../next-command"
import { plain, shellWord } from "../plain"
import { note } from "../screen"
import { type Session, withActor } from "../session"
import { modeLine } from "../text/status"
import { enterOptionsOf, opening, type WindowOptions } from "../window-options"

interface RunOptions extends WindowOptions {
  readonly mode?: string
  readonly grace?: string
  readonly yes?: boolean
}

/** Adds the command `run`. */
export function addRun(program: Command, answer: (code: number) => void): void {
  opening(program.command("run"), { hasJson: false })
    .argument("<command>", "program to run")
    .argument("[args...]", "its arguments")
    .option(
      "--mode <mode>",
      "concurrent (other users can only read) or exclusive (they can neither read nor write)",
    )
    .option(
      "--grace <duration>",
      "time for which the window outlives this process if it is killed (default: 30s)",
    )
    .option("-y, --yes", "do not ask before exclusive mode")
    .passThroughOptions()
    .description("enter a mode, run a command as the maintainer, and leave")
    .addHelpText(
      "after",
      "\nThe command has MAINTENANCE_USER in its environment, which the plugin takes as the current user. Its exit code is passed on; 125 means that it was not run.\n\n" +
        'Example:\n  $ npx typeorm-maintenance-mode run --mode exclusive --as alice --reason "Reindex" -- npm run reindex',
    )
    .action(async (command: string, args: string[], options: RunOptions) => {
      answer(await run([command, ...args], options))
    })
}

async function run(command: readonly string[], options: RunOptions): Promise<number> {
  if (options.mode === undefined)
    throw new InputFault("Say which mode to enter: --mode concurrent, or --mode exclusive.")
  const mode = modeOf(options.mode, windowModes)
  const graceMs = options.grace === undefined ? undefined : parseDuration(options.grace, "--grace")
  return withActor(options, async ({ identity: { user }, ...session }) => {
    const { control } = session
    await refuseStanding(control, user)
    if (mode === "exclusive" && !options.yes && canAsk()) await confirmExclusive(session, user)
    const hide = showDraining(control)
    const [{ since }, signals] = await interruptible(async (signal) => {
      const entering = { ...enterOptionsOf(options, user), heldWhile: "alive", graceMs, signal } as const
      const entered = await control.enter(mode, entering)
      // Before the signals are no longer those of entering: otherwise one would end this process, and not the window.
      return [entered, new ForwardedSignals()] as const
    })
      .finally(hide)
      .catch((error: unknown) => brokenOff(control, error))
    try {
      note(`Entered ${mode} mode.`)
      const code = await codeOf(command, user, signals)
      // One more Ctrl-C does not keep it from leaving.
      return await interruptible(() => leave(session, { user, since }, code))
    } finally {
      signals.close()
    }
  })
}

/** The spell of maintenance that `run` has begun. Windows that the command opens belong to it. */
interface Spell {
  readonly user: string
  readonly since: Date | undefined
}

/** Runs the command; returns its exit code, or that of a program that could not be started. */
async function codeOf(command: readonly string[], user: string, signals: ForwardedSignals): Promise<number> {
  try {
    return await runChild(command, { MAINTENANCE_USER: user }, signals)
  } catch (error) {
    if (!(error instanceof SpawnFault)) throw error
    note(plain(error.message))
    return error.exitCode
  }
}

/** Time for which leaving is retried while the database does not answer, in milliseconds. */
const leaveWithinMs = 30_000
const retryMs = 1000

/** Leaves after the command; returns the exit code. */
async function leave(session: Session, spell: Spell, code: number): Promise<number> {
  const { control, target } = session
  const deadline = performance.now() + leaveWithinMs
  // Once the window was seen, it has outlasted the command. If it is gone later, an attempt to leave has ended it.
  let hasOutlasted = false
  for (let isAgain = false; ; isAgain = true) {
    try {
      let status: MaintenanceStatus = await control.status()
      if (isOf(status, spell)) {
        hasOutlasted = true
        status = await control.leave({ as: spell.user, ifHeld: true })
      }
      const what = hasOutlasted ? "Left." : "The window was over before the command had ended."
      note(`${what} The mode is now: ${modeLine(status)}.`)
      return hasOutlasted ? code : code || exitCode.windowEnded
    } catch (error) {
      if (isWorthRetrying(error) && performance.now() < deadline) {
        if (!isAgain)
          note(`The database does not answer. Trying for ${formatDuration(leaveWithinMs)} to leave.`)
        await pause(retryMs)
        continue
      }
      note(
        `The command has ended with ${code}, but the window could not be left. Look at: ${nextCommand("status", target.options)}`,
      )
      const failure = reportFailure(error, { options: target.options })
      return code || failure
    }
  }
}

/** Throws InputFault if a window stands: it would be ended with the command. */
async function refuseStanding(control: MaintenanceControl, user: string): Promise<void> {
  const status = await control.status()
  if (status.mode === "normal") return
  const within =
    status.maintainer === user
      ? ` To run the command within it, set MAINTENANCE_USER=${shellWord(user)} in its environment instead.`
      : ""
  throw new InputFault(
    `A window stands: ${modeLine(status)}. It would end with the command, so leave it first.${within}`,
  )
}

/** Whether leaving may succeed later. It may be repeated even if it is not known whether it was done. */
function isWorthRetrying(error: unknown): boolean {
  return error instanceof StateUnavailableError || error instanceof OutcomeUnknownError
}

/** Whether a status is of this spell. What has come after it is left alone. */
function isOf(status: MaintenanceStatus, { user, since }: Spell): boolean {
  return status.maintainer === user && status.since?.getTime() === since?.getTime()
}
