// A process of its own that has the plugin, and runs the SQL that it is sent, until it is told to stop.
import "reflect-metadata"
import { installMaintenance } from "../../src"
import { newDataSource } from "./data-source"

/** A text to run, or to stop. */
export type ToMember = { readonly sql: string } | "stop"
/** That it is ready, and what a text came to: `done`, or the class of the error. */
export type FromMember = "ready" | { readonly outcome: string }

const send = (message: FromMember) => process.send?.(message)

async function main(url: string): Promise<void> {
  const dataSource = newDataSource(url)
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  process.on("message", (message: ToMember) => {
    if (message === "stop") {
      void dataSource.destroy().then(() => process.disconnect())
      return
    }
    dataSource.query(message.sql).then(
      () => send({ outcome: "done" }),
      (error: Error) => send({ outcome: error.constructor.name }),
    )
  })
  process.once("disconnect", () => process.exit())
  await maintenance.ready()
  send("ready")
}

void main(process.argv[2] as string)
