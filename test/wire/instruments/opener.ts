import { Client } from "pg"
import { installMaintenance } from "../../../src"
import { corpus } from "../../doors/corpus"
import type { Door, Site } from "../../doors/door"
import { type Outcome, outcomeOf } from "../../doors/outcome"
import { newDataSource } from "../../support/data-source"
import { Estate } from "../../support/shop"
import type { Instrument } from "./instruments"
import type { FromOpener, Opening, ToOpener } from "./messages"

/** The shop at a URL, with the client of an outsider. */
export function siteOf(url: string, client: Client): Site {
  const sql: Site["sql"] = async (text, values) => (await client.query(text, values)).rows as never
  return { name: `${new URL(url).pathname.slice(1)}_1`, estate: new Estate(1), sql }
}

/** The door of this name. */
export function doorOf({ group, door }: Opening): Door {
  const found = corpus[group]?.[door]
  if (!found) throw new Error(`There is no door ${door} of ${group}.`)
  return found
}

/** Opens the doors requested by messages, until told to stop. */
export async function openDoors(instrument: Instrument, url: string): Promise<void> {
  Error.stackTraceLimit = 50
  const client = new Client({ connectionString: url })
  await client.connect()
  const site = siteOf(url, client)
  const dataSource = newDataSource(url)
  const maintenance = installMaintenance(dataSource)
  const send = (message: FromOpener) => process.send?.(message)
  process.once("disconnect", () => process.exit())
  const open = async (opening: Opening) => {
    let outcome: Outcome = { refusedBy: undefined, shown: [] }
    const spans = await instrument.traced(async () => {
      outcome = await outcomeOf(() => doorOf(opening).run(dataSource, site))
    })
    send({ outcome, spans })
  }
  const stop = async () => {
    await client.end()
    await dataSource.destroy()
    process.disconnect()
  }
  process.on("message", (message: ToOpener) => {
    void (message === "stop" ? stop() : open(message))
  })
  await instrument.traced(() => dataSource.initialize())
  await maintenance.ready()
  send("ready")
}
