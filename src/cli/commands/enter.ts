import type { Command } from "commander"
import type { BlockersOptions, Entered, MaintenanceControl } from "../../index"
import { afterChange } from "../after-change"
import { brokenOff } from "../broken-off"
import { ask, canAsk, confirmExclusive } from "../confirmation"
import { Declined } from "../declined"
import { showDraining } from "../drain-progress"
import { interruptible } from "../interruption"
import { modeOf, windowModes } from "../mode-argument"
import { note, printJson } from "../screen"
import { type Session, withActor } from "../session"
import { printStatusAfter } from "../status-after"
import { blockersTable } from "../text/blockers"
import { processesOf } from "../text/instances"
import { modeLine } from "../text/status"
import { enterOptionsOf, opening, type WindowOptions } from "../window-options"

interface EnterCommandOptions extends WindowOptions {
  readonly yes?: boolean
}

/** Adds the command `enter`. */
export function addEnter(program: Command): void {
  opening(program.command("enter"))
    .argument(
      "<mode>",
      "concurrent (other users can only read) or exclusive (they can neither read nor write)",
    )
    .option("-y, --yes", "do not ask before exclusive mode, or before a window is taken over")
    .description("open a window, or switch the mode of your own, and wait for in-flight transactions")
    .addHelpText(
      "after",
      '\nExample:\n  $ npx typeorm-maintenance-mode enter exclusive --as alice --reason "Rebuild the catalog" --expires 2h',
    )
    .action(async (text: string, options: EnterCommandOptions) => {
      const mode = modeOf(text, windowModes)
      await withActor(options, async ({ identity, ...session }) => {
        const enterOptions = enterOptionsOf(options, identity.user)
        const { control } = session
        const mayAsk = !options.yes && !options.json && canAsk()
        await takingOver(control, identity.user, { ...options, mayAsk })
        if (mode === "exclusive" && mayAsk) await confirmExclusive(session, identity.user)
        const hide = options.json ? () => undefined : showDraining(control)
        const entered = await interruptible((signal) => control.enter(mode, { ...enterOptions, signal }))
          .finally(hide)
          .catch((error: unknown) => brokenOff(control, error))
        await report(session, entered, { ...options, mode, user: identity.user })
      })
    })
}

interface ReportOptions extends WindowOptions {
  readonly mode: (typeof windowModes)[number]
  readonly user: string
}

async function report(
  { control }: Session,
  entered: Entered,
  { json, then: outcome, mode, user }: ReportOptions,
): Promise<void> {
  if (json) return printJson(entered)
  await printStatusAfter("Entered.", { control, status: entered })
  const { unacknowledged } = entered
  if (outcome === "proceed") await reportLeft(control, { mode, as: user })
  if (unacknowledged.length === 0) return
  note(
    `Not heard from: ${processesOf(unacknowledged)}. Their writes are refused by the database all the same.`,
  )
}

/** Names the transactions that were left open on request. */
async function reportLeft(control: MaintenanceControl, options: BlockersOptions): Promise<void> {
  const reading = { done: "Entered.", subject: "The transactions that were left open" }
  const left = await afterChange(reading, () => control.blockers(options))
  if (!left?.length) return
  note(
    "These transactions were left open. Sessions without the plugin, and prepared transactions, may still commit:",
  )
  note(blockersTable(left))
}

/** Says whose window an emergency user is about to take over, and asks, if somebody can be asked. */
async function takingOver(
  control: MaintenanceControl,
  user: string,
  { emergency, json, mayAsk }: EnterCommandOptions & { readonly mayAsk: boolean },
): Promise<void> {
  if (!emergency) return
  const status = await control.status()
  if (status.mode === "normal" || status.maintainer === user) return
  if (!json) note(`This takes over: ${modeLine(status)}. That window ends.`)
  if (mayAsk && !(await ask("Take it over? [y/N] "))) throw new Declined()
}
