import type { Command } from "commander"
import { print, printJson } from "../screen"
import { type SessionOptions, withSession } from "../session"
import { journalTable } from "../text/journal"
import { parseSince } from "../time"
import { connecting, wholeNumber } from "../window-options"

interface JournalCommandOptions extends SessionOptions {
  readonly since?: string
  readonly limit?: string
}

/** Adds the command `journal`. */
export function addJournal(program: Command): void {
  connecting(program.command("journal"))
    .option("--since <time>", "leave out windows that ended earlier: 12h, or 2026-11-28")
    .option("--limit <number>", "number of windows, at most 1000 (default: 20)")
    .description("show the windows that are over, the last first, and what they refused")
    .addHelpText(
      "after",
      "\nREFUSED CHANGES counts each entity and operation once a transaction. A refusal without a change of the ORM counts once.\n\nExample:\n  $ npx typeorm-maintenance-mode journal --since 12h",
    )
    .action(async (options: JournalCommandOptions) => {
      const since = options.since === undefined ? undefined : parseSince(options.since, "--since")
      const limit = wholeNumber(options.limit ?? "20", "--limit")
      const windows = await withSession(options, ({ control }) => control.journal({ since, limit }))
      if (options.json) return printJson(windows)
      print(windows.length === 0 ? "No window has ended in this time." : journalTable(windows))
    })
}
