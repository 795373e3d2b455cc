import type { Command } from "commander"
import { print, printJson } from "../screen"
import { type ActingOptions, withActor } from "../session"
import { announcedText, announcedWindows, modeLine } from "../text/status"
import { acting } from "../window-options"

interface LeaveCommandOptions extends ActingOptions {
  readonly ifHeld?: boolean
}

/** Adds the command `leave`. */
export function addLeave(program: Command): void {
  acting(program.command("leave"))
    .option("--if-held", "do nothing if this user holds no window, so that a script can run twice")
    .description("end your window; in normal mode, cancel what you have announced")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance leave --as alice")
    .action(async (options: LeaveCommandOptions) => {
      await withActor(options, async ({ control, identity }) => {
        const { windowId } = await control.status()
        const before = await announcedWindows(control)
        const status = await control.leave({ as: identity.user, ifHeld: options.ifHeld })
        if (options.json) return printJson(status)
        const after = new Set((await announcedWindows(control)).map(({ id }) => id))
        const cancelled = before.filter(({ id }) => !after.has(id))
        for (const window of cancelled) print(`Cancelled: ${announcedText(window)}.`)
        const isLeft = windowId !== undefined && status.windowId !== windowId
        if (!isLeft && cancelled.length === 0) print("You hold no window. Nothing was changed.")
        print(`The mode is now: ${modeLine(status)}.`)
      })
    })
}
