import type { Command } from "commander"
import { print, printJson } from "../screen"
import { readStatus, type SessionOptions, withSession } from "../session"
import { statusText } from "../text/status"
import { connecting } from "../window-options"

/** Adds the command `status`. */
export function addStatus(program: Command): void {
  connecting(program.command("status"))
    .description("show the mode, its window, and what is announced")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode status -d dist/data-source.js")
    .action(async (options: SessionOptions) => {
      const report = await withSession(options, ({ control }) => readStatus(control))
      if (options.json) printJson(report)
      else print(statusText(report))
    })
}
