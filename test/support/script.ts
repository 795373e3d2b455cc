// A separate process that holds a window until a signal arrives or it is told to end, and reports its
// progress.
import "reflect-metadata"
import { type EnterOptions, installMaintenance, type Mode } from "../../src"
import { newDataSource } from "./data-source"

/** The parameters of the script. */
export interface Plan {
  readonly call: "enter" | "during"
  readonly mode: Mode
  readonly options: EnterOptions
  /** Whether it listens to signals itself, once, like an application with its own shutdown. */
  readonly listens?: boolean
}
/** A report: ready, holding the window, signal received, or the outcome of the call. */
export type FromScript = "ready" | "held" | "heard" | { readonly outcome: string }

const send = (message: FromScript) => process.send?.(message)

async function main(url: string, { call, mode, options, listens }: Plan): Promise<void> {
  const dataSource = newDataSource(url)
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  if (listens) for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => send("heard"))
  const told = new Promise((resolve) => process.once("message", resolve))
  const hold = async () => {
    send("held")
    await told
  }
  send("ready")
  const held =
    call === "during"
      ? maintenance.during(mode, options, hold)
      : maintenance.enter(mode, options).then(async () => {
          await hold()
          await maintenance.leave({ as: options.as, ifHeld: true })
        })
  await held.then(
    () => send({ outcome: "done" }),
    (error: Error) => send({ outcome: error.message }),
  )
  await dataSource.destroy()
  process.disconnect()
}

void main(process.argv[2] as string, JSON.parse(process.argv[3] as string))
