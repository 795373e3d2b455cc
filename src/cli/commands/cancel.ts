import type { Command } from "commander"
import { print, printJson } from "../screen"
import { type ActingOptions, withActor } from "../session"
import { acting } from "../window-options"

/** Adds the command `cancel`. */
export function addCancel(program: Command): void {
  acting(program.command("cancel"))
    .argument("<id>", "the id of the announced window, as announce and status show it")
    .description("take back an announced window")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode cancel 0b8f6a1e-... --as alice")
    .action(async (id: string, options: ActingOptions) => {
      const status = await withActor(options, ({ control, identity }) =>
        control.cancel(id, { as: identity.user }),
      )
      if (options.json) printJson(status)
      else print("The announced window was cancelled.")
    })
}
