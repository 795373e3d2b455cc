import type { Command } from "commander"
import { print, printJson } from "../screen"
import { readStatus, type SessionOptions, withSession } from "../session"
import { instancesTable } from "../text/instances"
import { connecting } from "../window-options"

/** Adds the command `instances`. */
export function addInstances(program: Command): void {
  connecting(program.command("instances"))
    .description("show the processes that take part, and whether they know the mode")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode instances")
    .action(async (options: SessionOptions) => {
      const { instances, epoch } = await withSession(options, ({ control }) => readStatus(control))
      if (options.json) return printJson(instances)
      print(instances.length === 0 ? "No instance is connected." : instancesTable(instances, epoch))
    })
}
