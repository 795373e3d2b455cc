import type { Command } from "commander"
import { identityOf } from "../identity"
import { modeOf, windowModes } from "../mode-argument"
import { note, print, printJson } from "../screen"
import { type SessionOptions, withSession } from "../session"
import { blockersTable, hiddenNote } from "../text/blockers"
import { connecting } from "../window-options"

interface BlockersCommandOptions extends SessionOptions {
  readonly as?: string
}

/** Adds the command `blockers`. */
export function addBlockers(program: Command): void {
  connecting(program.command("blockers"))
    .argument("[mode]", "mode that would be entered (default: the one being entered, or else exclusive)")
    .option("--as <user>", "user who would enter it, whose own transactions are left out")
    .description("show which transactions enter would wait for, without entering")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode blockers exclusive")
    .action(async (text: string | undefined, options: BlockersCommandOptions) => {
      const mode = text === undefined ? undefined : modeOf(text, windowModes)
      const as = identityOf(options.as).user
      const blockers = await withSession(options, ({ control }) => control.blockers({ mode, as }))
      if (options.json) return printJson(blockers)
      print(blockers.length === 0 ? "No transaction would be waited for." : blockersTable(blockers))
      const hidden = hiddenNote(blockers)
      if (hidden) note(hidden)
    })
}
