import type { Command } from "commander"
import { print, printJson } from "../screen"
import { type ActingOptions, withActor } from "../session"
import { modeLine } from "../text/status"
import { acting } from "../window-options"

interface LeaveCommandOptions extends ActingOptions {
  readonly ifHeld?: boolean
}

/** Adds the command `leave`. */
export function addLeave(program: Command): void {
  acting(program.command("leave"))
    .option("--if-held", "do nothing if this user holds no window, so that a script can run twice")
    .description("end your window; in normal mode, cancel what you have announced")
    .addHelpText("after", "\nExample:\n  $ typeorm-maintenance leave --as alice")
    .action(async (options: LeaveCommandOptions) => {
      const status = await withActor(options, ({ control, identity }) =>
        control.leave({ as: identity.user, ifHeld: options.ifHeld }),
      )
      if (options.json) printJson(status)
      else print(`The mode is now: ${modeLine(status)}.`)
    })
}
