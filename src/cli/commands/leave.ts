import type { Command } from "commander"
import type { MaintenanceControl, MaintenanceReport } from "../../index"
import { afterChange } from "../after-change"
import { print, printJson } from "../screen"
import { type ActingOptions, withActor } from "../session"
import { announcedIn, announcedText, modeLine } from "../text/status"
import { acting } from "../window-options"

interface LeaveCommandOptions extends ActingOptions {
  readonly ifHeld?: boolean
}

/** Adds the command `leave`. */
export function addLeave(program: Command): void {
  acting(program.command("leave"))
    .option("--if-held", "do nothing if this user holds no window, so that a script can run twice")
    .description("end your window; in normal mode, cancel what you have announced")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode leave --as alice")
    .action(async (options: LeaveCommandOptions) => {
      await withActor(options, async ({ control, identity }) => {
        const before = await control.status()
        // A window that ends meanwhile must not cost the announced ones.
        const windowOnly = before.mode !== "normal" && options.emergency === true
        const status = await control.leave({ as: identity.user, ifHeld: options.ifHeld, windowOnly })
        if (options.json) return printJson(status)
        const isLeft = before.windowId !== undefined && status.windowId !== before.windowId
        if (!isLeft) await showCancelled(control, before)
        print(`The mode is now: ${modeLine(status)}.`)
      })
    })
}

/** Shows which announced windows were cancelled, in normal mode. */
async function showCancelled(control: MaintenanceControl, before: MaintenanceReport): Promise<void> {
  const reading = { done: "Done.", subject: "The announced windows" }
  const report = await afterChange(reading, () => control.status())
  if (!report) return
  const after = new Set(announcedIn(report).map(({ id }) => id))
  const cancelled = announcedIn(before).filter(({ id }) => !after.has(id))
  for (const window of cancelled) print(`Cancelled: ${announcedText(window)}.`)
  if (cancelled.length === 0) print("You hold no window. Nothing was changed.")
}
