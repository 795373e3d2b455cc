import type { Command } from "commander"
import { afterChange } from "../after-change"
import { InputFault } from "../input-fault"
import { modeOf, windowModes } from "../mode-argument"
import { nextCommand } from "../next-command"
import { shellWord } from "../plain"
import { print, printJson } from "../screen"
import { withActor } from "../session"
import { announcedIn, announcedText } from "../text/status"
import { formatTime, parseTime } from "../time"
import { enterOptionsOf, opening, type WindowOptions } from "../window-options"

interface AnnounceCommandOptions extends WindowOptions {
  readonly starts?: string
}

/** Adds the command `announce`. */
export function addAnnounce(program: Command): void {
  opening(program.command("announce"))
    .argument("<mode>", "concurrent or exclusive")
    .option("--starts <time>", 'when the window begins: 22:00, "2026-11-29 22:00", or 30m from now')
    .description("announce a window, which one of the instances begins at its time")
    .addHelpText(
      "after",
      '\nExample:\n  $ npx typeorm-maintenance-mode announce exclusive --starts 22:00 --expires 2h --as alice --reason "Upgrade"',
    )
    .action(async (text: string, options: AnnounceCommandOptions) => {
      const mode = modeOf(text, windowModes)
      if (options.starts === undefined)
        throw new InputFault("Say when the window begins: --starts 22:00. To begin it now, use enter.")
      const startsAt = parseTime(options.starts, "--starts")
      await withActor(options, async ({ control, identity, target }) => {
        const before = announcedIn(await control.status())
        const announced = await control.announce(mode, {
          ...enterOptionsOf(options, identity.user),
          startsAt,
        })
        if (options.json) return printJson(announced)
        print(`Announced ${mode} mode for ${formatTime(announced.startsAt)}, as ${announced.id}.`)
        const reading = { done: "The window was announced.", subject: "The windows that it replaces" }
        const report = await afterChange(reading, () => control.status())
        const after = new Set(announcedIn(report ?? { windows: before }).map(({ id }) => id))
        for (const window of before)
          if (!after.has(window.id)) print(`It replaces: ${announcedText(window)}.`)
        const cancel = `cancel ${announced.id} --as=${shellWord(identity.user)}`
        print(`To take it back: ${nextCommand(cancel, target.options)}`)
      })
    })
}
