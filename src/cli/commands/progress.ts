import type { Command } from "commander"
import { InputFault } from "../input-fault"
import { print, printJson } from "../screen"
import { type ActingOptions, withActor } from "../session"
import { acting } from "../window-options"

interface ProgressCommandOptions extends ActingOptions {
  readonly note?: string
}

/** Adds the command `progress`. */
export function addProgress(program: Command): void {
  acting(program.command("progress"))
    .argument("<done>", "amount of work that is done, in any unit")
    .argument("[total]", "whole amount of work, in the same unit")
    .option("--note <text>", "current step")
    .description("report the progress of your work, for status, watch and the panel")
    .addHelpText(
      "after",
      '\nExample:\n  $ npx typeorm-maintenance-mode progress 40 100 --note "prices" --as alice',
    )
    .action(async (done: string, total: string | undefined, options: ProgressCommandOptions) => {
      const progress = {
        done: amountOf(done),
        total: total === undefined ? undefined : amountOf(total),
        note: options.note,
      }
      await withActor(options, ({ control, identity }) => control.progress(progress, { as: identity.user }))
      if (options.json) printJson(progress)
      else print("Reported.")
    })
}

function amountOf(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  throw new InputFault(`"${text}" is not an amount. Write a number of 0 or more.`)
}
