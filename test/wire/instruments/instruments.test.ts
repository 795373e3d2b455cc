import { expect } from "chai"
import { Client } from "pg"
import { WriteVetoedError } from "../../../src"
import type { Site } from "../../doors/door"
import { type Outcome, outcomeOf } from "../../doors/outcome"
import { useMaintenance, withPlainDataSource } from "../../support/data-source"
import { useDatabase } from "../../support/database"
import { inventory, stock } from "../../support/inventory"
import { openShop, restock } from "../../support/shop"
import { notWaiting } from "../../support/window"
import { instruments } from "./instruments"
import type { Opening } from "./messages"
import { doorOf, siteOf } from "./opener"
import { Opener } from "./opener-process"

/** One or more doors of each group, each with a text expected in its trace. */
const doors: Record<string, Record<string, string>> = {
  repositories: { "save of a new entity": 'INSERT INTO "item"' },
  statements: {
    "query without parameters": "insert into item (name) values ('crate')",
    "query with parameters": "insert into item (name) values ($1)",
    "DO block": "do $$ begin insert into item",
  },
  "changes of the schema": { "CREATE TABLE": "create table extra" },
  transactions: { "dataSource.transaction": "COMMIT", "nested transactions": 'INSERT INTO "item"' },
  clients: {
    "raw client, callback": "insert into item (name) values ('crate')",
    "raw client, named statement twice": "insert into item (name) values ($1)",
  },
  "statements that commit by themselves": { "CALL that commits": "call write_and_commit('x')" },
  "several statements in one text": { "several statements": "select 1; insert into item" },
  "query objects": {
    "pg's own Query with values": "insert into item (name) values ($1)",
    "pg-cursor in batches": "select write_audit(g::text)",
    "COPY FROM": "copy audit (note) from stdin",
  },
  streams: {
    "stream of many rows": "select write_audit(g::text)",
    "stream abandoned half-way, then a write": "insert into item (name) values ('crate')",
  },
  "what fails": {
    "unique violation": "insert into item (name) values ('anvil')",
    "failing statement, then COMMIT": "select 1 / 0",
  },
}
/**
 * Doors of which an instrument does not see the text or the end, even without the plugin. By the first word
 * of its name.
 */
const endless: Record<string, readonly string[]> = {
  // It waits for a callback or a promise.
  OpenTelemetry: ["pg's own Query with values", "pg-cursor in batches", "COPY FROM", "stream of many rows"],
  // They wait for the `end` event.
  Datadog: ["stream abandoned half-way, then a write"],
  Elastic: ["COPY FROM", "stream of many rows"],
}
const openings = Object.entries(doors).flatMap(([group, texts]) =>
  Object.entries(texts).map(([door, text]) => ({ group, door, text })),
)

describe("With pg patched by", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  const expected = new Map<string, { outcome: Outcome; things: string[] }>()
  const { stackTraceLimit } = Error
  let site: Site

  /** Opens a new shop. Resolves with its stock. */
  const prepare = async (opening: Opening) => {
    await restock(site)
    await doorOf(opening).arrange?.(site)
    return stock(await inventory(site))
  }

  before(async () => {
    Error.stackTraceLimit = 50
    await openShop(database.current)
    const client = new Client({ connectionString: database.current.url })
    await client.connect()
    database.current.beforeDrop(() => client.end())
    site = siteOf(database.current.url, client)
    await withPlainDataSource(database.current.url, {}, async (plain) => {
      for (const opening of openings) {
        await prepare(opening)
        const outcome = await outcomeOf(() => doorOf(opening).run(plain, site))
        expected.set(opening.door, { outcome, things: (await inventory(site)).things })
      }
    })
  })
  after(() => {
    Error.stackTraceLimit = stackTraceLimit
  })

  for (const name of Object.keys(instruments))
    describe(`${name},`, () => {
      let opener: Opener
      before(async () => {
        opener = await Opener.start(name, database.current.url)
      })
      after(() => opener.stop())

      it("every door behaves in normal mode as in plain TypeORM, and its statements are traced", async () => {
        for (const opening of openings) {
          await prepare(opening)
          const { outcome, spans } = await opener.open(opening)
          const { things } = await inventory(site)
          expect({ outcome, things }, opening.door).to.deep.equal(expected.get(opening.door))
          if (endless[name.split(" ")[0] as string]?.includes(opening.door)) continue
          const traced = spans.filter(({ text }) => text.includes(opening.text))
          const times = opening.door.endsWith("twice") ? 2 : 1
          expect(traced, `${opening.door}: ${JSON.stringify(spans)}`).to.have.lengthOf(times)
          const hasFailed = opening.group === "what fails"
          // Elastic's agent ignores the error.
          if (name !== "Elastic APM") expect(traced[0]?.hasFailed, opening.door).to.equal(hasFailed)
        }
      })

      it("other users store nothing in concurrent mode", async () => {
        const { maintenance } = installed.current
        await maintenance.enter("concurrent", { as: "alice", drain: notWaiting })
        const found: [door: string, refusedBy: string | undefined, isStored: boolean][] = []
        for (const opening of openings) {
          const before = await prepare(opening)
          const { outcome } = await opener.open(opening)
          found.push([opening.door, outcome.refusedBy, stock(await inventory(site)) !== before])
        }
        await maintenance.leave({ as: "alice" })
        expect(found).to.deep.equal(
          openings.map((opening) => [
            opening.door,
            doorOf(opening).inConcurrent
              ? expected.get(opening.door)?.outcome.refusedBy
              : WriteVetoedError.name,
            false,
          ]),
        )
      })
    })
})
