import type { Command } from "commander"
import { showDraining } from "../drain-progress"
import { print, printJson } from "../screen"
import { type ActingOptions, withActor } from "../session"
import { modeLine } from "../text/status"
import { acting } from "../window-options"

/** Adds the command `transfer`. */
export function addTransfer(program: Command): void {
  acting(program.command("transfer"))
    .argument("<to>", "the new maintainer")
    .description("hand your window to another maintainer")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode transfer carol --as alice")
    .action(async (to: string, options: ActingOptions) => {
      const status = await withActor(options, ({ control, identity }) => {
        const hide = options.json ? () => undefined : showDraining(control)
        return control.transfer({ as: identity.user, to }).finally(hide)
      })
      if (options.json) printJson(status)
      else print(`The mode is now: ${modeLine(status)}.`)
    })
}
