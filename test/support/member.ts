// A process of its own that has the plugin, and does what it is told on one query runner, until it is told to stop.
import "reflect-metadata"
import { type EnterOptions, installMaintenance, type Mode } from "../../src"
import { newDataSource } from "./data-source"

/** A text to run, on behalf of somebody; a mode to enter; or to stop. */
export type ToMember =
  | { readonly sql: string; readonly as?: string }
  | { readonly enter: Mode; readonly options: EnterOptions }
  | "stop"
/** That it is ready, and what it did came to: `done`, or the class of the error. */
export type FromMember = "ready" | { readonly outcome: string }

const send = (message: FromMember) => process.send?.(message)

async function main(url: string): Promise<void> {
  const dataSource = newDataSource(url)
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  const runner = dataSource.createQueryRunner()
  const act = (message: Exclude<ToMember, "stop">): Promise<unknown> => {
    if ("enter" in message) return maintenance.enter(message.enter, message.options)
    const run = () => runner.query(message.sql)
    return message.as === undefined ? run() : maintenance.runAs(message.as, run)
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
