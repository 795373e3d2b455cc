import type { Command } from "commander"
import { setTimeout as pause } from "node:timers/promises"
import { type MaintenanceControl, StateUnavailableError } from "../../index"
import { brokenOff } from "../broken-off"
import { ForwardedSignals, runChild, SpawnFault } from "../child"
import { canAsk, confirmExclusive } from "../confirmation"
import { showDraining } from "../drain-progress"
import { parseDuration } from "../duration"
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
        'Example:\n  $ npx typeorm-maintenance run --mode exclusive --as alice --reason "Reindex" -- npm run reindex',
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
async function leave({ control, target: { options } }: Session, spell: Spell, code: number): Promise<number> {
  const deadline = performance.now() + leaveWithinMs
  for (;;) {
    try {
      const isHeld = await isStillHeld(control, spell)
      if (!isHeld) return code || exitCode.windowEnded
      const status = await control.leave({ as: spell.user, ifHeld: true })
      note(`Left. The mode is now: ${modeLine(status)}.`)
      return code
    } catch (error) {
      if (error instanceof StateUnavailableError && performance.now() < deadline) {
        await pause(retryMs)
        continue
      }
      note(
        `The command has ended with ${code}, but the window could not be left. Look at: ${nextCommand("status", options)}`,
      )
      return code || reportFailure(error, { options })
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

/** Whether the spell goes on. Says so if not, and leaves what has come after it alone. */
async function isStillHeld(control: MaintenanceControl, { user, since }: Spell): Promise<boolean> {
  const status = await control.status()
  if (status.maintainer === user && status.since?.getTime() === since?.getTime()) return true
  note(`The window was over before the command had ended. The mode is now: ${modeLine(status)}.`)
  return false
}
