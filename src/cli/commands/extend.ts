import type { Command } from "commander"
import { parseDuration } from "../duration"
import { InputFault } from "../input-fault"
import { printJson } from "../screen"
import { type ActingOptions, withActor } from "../session"
import { printStatusAfter } from "../status-after"
import { acting } from "../window-options"

interface ExtendCommandOptions extends ActingOptions {
  readonly expires?: string
  readonly never?: boolean
}

/** Adds the command `extend`. */
export function addExtend(program: Command): void {
  acting(program.command("extend"))
    .option("--expires <duration>", "time from now after which the window ends by itself, such as 30m")
    .option("--never", "the window does not end by itself")
    .description("change when your window ends by itself")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode extend --as alice --expires 30m")
    .action(async (options: ExtendCommandOptions) => {
      const { expires, never = false } = options
      if (expires === undefined && !never)
        throw new InputFault("Say when the window ends: --expires 30m, or --never.")
      if (expires !== undefined && never) throw new InputFault("Use either --expires or --never.")
      const expiresInMs = expires === undefined ? undefined : parseDuration(expires, "--expires")
      await withActor(options, async ({ control, identity }) => {
        const status = await control.extend({ as: identity.user, expiresInMs })
        if (options.json) printJson(status)
        else await printStatusAfter("Extended.", { control, status })
      })
    })
}
