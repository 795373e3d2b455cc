// A separate process with the plugin that runs the given actions on one query runner, until it is told to
// stop.
import "reflect-metadata"
import {
  type AnnounceOptions,
  type EnterOptions,
  type ExtendOptions,
  installMaintenance,
  type LeaveOptions,
  type Mode,
  type TransferOptions,
} from "../../src"
import { newDataSource } from "./data-source"

/** An action: statements to run in succession, possibly as a user, or a change of the mode. */
export type Action =
  | { readonly sql: readonly string[]; readonly as?: string }
  | { readonly enter: Mode; readonly options: EnterOptions }
  | { readonly announce: Mode; readonly options: AnnounceOptions }
  | { readonly during: Mode; readonly options: EnterOptions; readonly sql: string }
  | { readonly leave: LeaveOptions }
  | { readonly extend: ExtendOptions }
  | { readonly transfer: TransferOptions }
/** A message to the process. */
export type ToMember = Action | "stop"
/**
 * An answer: that the process is ready, or the outcome of an action, which is `done` or the class of the
 * error.
 */
export type FromMember = "ready" | { readonly outcome: string }

const send = (message: FromMember) => process.send?.(message)

async function main(url: string): Promise<void> {
  const dataSource = newDataSource(url)
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  const runner = dataSource.createQueryRunner()
  const run = async (texts: readonly string[]) => {
    for (const text of texts) await runner.query(text)
  }
  const act = (action: Action): Promise<unknown> => {
    if ("enter" in action) return maintenance.enter(action.enter, action.options)
    if ("announce" in action) return maintenance.announce(action.announce, action.options)
    if ("during" in action) return maintenance.during(action.during, action.options, () => run([action.sql]))
    if ("leave" in action) return maintenance.leave(action.leave)
    if ("extend" in action) return maintenance.extend(action.extend)
    if ("transfer" in action) return maintenance.transfer(action.transfer)
    const { sql, as } = action
    return as === undefined ? run(sql) : maintenance.runAs(as, () => run(sql))
  }
  process.on("message", (message: ToMember) => {
    if (message === "stop") {
      void runner
        .release()
        .then(() => dataSource.destroy())
        .then(() => process.disconnect())
      return
    }
    act(message).then(
      () => send({ outcome: "done" }),
      (error: Error) => send({ outcome: error.constructor.name }),
    )
  })
  process.once("disconnect", () => process.exit())
  await maintenance.ready()
  send("ready")
}

void main(process.argv[2] as string)
