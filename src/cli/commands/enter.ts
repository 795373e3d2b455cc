import type { Command } from "commander"
import type { Entered } from "../../index"
import { canAsk, confirmExclusive } from "../confirmation"
import { showDraining } from "../drain-progress"
import { Interruption, interruptible } from "../interruption"
import { modeOf, windowModes } from "../mode-argument"
import { note, print, printJson } from "../screen"
import { readStatus, type Session, withActor } from "../session"
import { modeLine, statusText } from "../text/status"
import { enterOptionsOf, opening, type WindowOptions } from "../window-options"

interface EnterCommandOptions extends WindowOptions {
  readonly yes?: boolean
}

/** Adds the command `enter`. */
export function addEnter(program: Command): void {
  opening(program.command("enter"))
    .argument("<mode>", "concurrent (others read) or exclusive (only you)")
    .option("-y, --yes", "do not ask before exclusive mode")
    .description("open a window, or switch the mode of your own, and wait for in-flight transactions")
    .addHelpText(
      "after",
      '\nExample:\n  $ typeorm-maintenance enter exclusive --as alice --reason "Rebuild the catalog" --expires 2h',
    )
    .action(async (text: string, options: EnterCommandOptions) => {
      const mode = modeOf(text, windowModes)
      await withActor(options, async ({ identity, ...session }) => {
        const enterOptions = enterOptionsOf(options, identity.user)
        if (mode === "exclusive" && !options.yes && !options.json && canAsk())
          await confirmExclusive(session, identity.user)
        const { control } = session
        const hide = options.json ? () => undefined : showDraining(control)
        const entered = await interruptible((signal) => control.enter(mode, { ...enterOptions, signal }))
          .finally(hide)
          .catch((error: unknown) => brokenOff(session, error))
        await report(session, entered, options)
      })
    })
}

async function report({ control }: Session, entered: Entered, { json }: WindowOptions): Promise<void> {
  if (json) return printJson(entered)
  print(statusText(await readStatus(control)))
  const { unacknowledged } = entered
  if (unacknowledged.length === 0) return
  const names = unacknowledged.map(({ host, pid }) => `process ${pid} on ${host}`).join(", ")
  note(`Not heard from: ${names}. Their writes are refused by the database all the same.`)
}

/** Says what holds after the entering was interrupted, and rethrows. */
async function brokenOff({ control }: Session, error: unknown): Promise<never> {
  if (error instanceof Interruption)
    note(`Broken off. The mode is now: ${modeLine(await readStatus(control))}.`)
  throw error
}
