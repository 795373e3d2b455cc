import type { Command } from "commander"
import type { MaintenanceControl } from "../../index"
import { runChild, SpawnFault } from "../child"
import { canAsk, confirmExclusive } from "../confirmation"
import { showDraining } from "../drain-progress"
import { parseDuration } from "../duration"
import { exitCode } from "../exit-code"
import { reportFailure } from "../failure"
import { InputFault } from "../input-fault"
import { interruptible } from "../interruption"
import { modeOf, windowModes } from "../mode-argument"
import { note } from "../screen"
import { withActor } from "../session"
import { modeLine } from "../text/status"
import { enterOptionsOf, opening, type WindowOptions } from "../window-options"

interface RunOptions extends WindowOptions {
  readonly mode?: string
  readonly grace?: string
  readonly yes?: boolean
}

/** Adds the command `run`. */
export function addRun(program: Command): void {
  opening(program.command("run"))
    .argument("<command>", "program to run")
    .argument("[args...]", "its arguments")
    .option("--mode <mode>", "concurrent (others read) or exclusive (only you)")
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
        'Example:\n  $ typeorm-maintenance run --mode exclusive --as alice --reason "Reindex" -- npm run reindex',
    )
    .action(async (command: string, args: string[], options: RunOptions) => {
      process.exitCode = await run([command, ...args], options)
    })
}

async function run(command: readonly string[], options: RunOptions): Promise<number> {
  if (options.mode === undefined)
    throw new InputFault("Say which mode to enter: --mode concurrent, or --mode exclusive.")
  const mode = modeOf(options.mode, windowModes)
  const graceMs = options.grace === undefined ? undefined : parseDuration(options.grace, "--grace")
  return withActor(options, async ({ identity: { user }, ...session }) => {
    const { control } = session
    await refuseOwnWindow(control, user)
    if (mode === "exclusive" && !options.yes && canAsk()) await confirmExclusive(session, user)
    const hide = showDraining(control)
    await interruptible((signal) =>
      control.enter(mode, { ...enterOptionsOf(options, user), heldWhile: "alive", graceMs, signal }),
    ).finally(hide)
    return leave(control, user, await codeOf(command, user))
  })
}

/** Runs the command; returns its exit code, or that of a program that could not be started. */
async function codeOf(command: readonly string[], user: string): Promise<number> {
  try {
    return await runChild(command, { MAINTENANCE_USER: user })
  } catch (error) {
    if (!(error instanceof SpawnFault)) throw error
    note(error.message)
    return error.exitCode
  }
}

/** Leaves after the command; returns the exit code. */
async function leave(control: MaintenanceControl, user: string, code: number): Promise<number> {
  try {
    const isHeld = await isStillHeld(control, user)
    await control.leave({ as: user, ifHeld: true })
    return isHeld ? code : code || exitCode.windowEnded
  } catch (error) {
    note("The command has ended, but the window could not be left. It ends by itself after its grace.")
    return code || reportFailure(error, false)
  }
}

/** Throws InputFault if the user holds a window: it would be left with the command. */
async function refuseOwnWindow(control: MaintenanceControl, user: string): Promise<void> {
  const status = await control.status()
  if (status.maintainer !== user) return
  throw new InputFault(
    `${user} already holds a window: ${modeLine(status)}. Run the command with MAINTENANCE_USER=${user} in its environment, or leave first.`,
  )
}

/** Whether the user still holds a window after the command. Says so if not. */
async function isStillHeld(control: MaintenanceControl, user: string): Promise<boolean> {
  const status = await control.status()
  if (status.maintainer === user) return true
  note(`The window was over before the command had ended. The mode is now: ${modeLine(status)}.`)
  return false
}
