import type { Command } from "commander"
import { exitCode } from "../exit-code"
import { allModes, modeOf } from "../mode-argument"
import { print, printJson } from "../screen"
import { readStatus, type SessionOptions, withSession } from "../session"
import { modeLine } from "../text/status"
import { connecting } from "../window-options"

/** Adds the command `is`. */
export function addIs(program: Command, answer: (code: number) => void): void {
  connecting(program.command("is"))
    .argument("<mode>", "normal, concurrent or exclusive")
    .description("exit with 0 if this is the mode, with 1 if it is not")
    .addHelpText(
      "after",
      "\nA mode that is still being entered is not yet the mode.\n\nExample:\n  $ npx typeorm-maintenance-mode is normal && npm run nightly-import",
    )
    .action(async (text: string, options: SessionOptions) => {
      const mode = modeOf(text, allModes)
      const report = await withSession(options, ({ control }) => readStatus(control))
      const is = report.state === mode
      if (options.json) printJson({ is, mode: report.mode, state: report.state })
      else print(modeLine(report))
      answer(is ? exitCode.done : exitCode.no)
    })
}
