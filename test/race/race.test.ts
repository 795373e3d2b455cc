import { expect } from "chai"
import type { Installed } from "../support/data-source"
import { useMaintenance } from "../support/data-source"
import { type TestDatabase, useDatabase, withClient } from "../support/database"
import { withoutWaiting } from "./broken-variants"
import { Writers } from "./writers"

/** Number of switches. Few by default; `npm run race` runs the long race. */
const switches = Number(process.env["RACE_SWITCHES"] ?? 20)
const isLong = process.env["RACE_SWITCHES"] !== undefined
/** Limit for the broken variant, which leaks in one of the first windows. */
const brokenSwitches = 200
const writerCount = 3

/** Makes commits take a moment, as with deferred constraints or synchronous replication. */
const linger = (seconds: number) =>
  "create or replace function linger() returns trigger language plpgsql as " +
  `'begin perform pg_sleep(${seconds}); return null; end';`

const ledger = `
  create table ledger (id serial primary key, door text not null);
  ${linger(0.01)}
  create constraint trigger linger after insert on ledger deferrable initially deferred
    for each row execute function linger();
`

/** The results of a run of switches under load. */
interface Outcome {
  /** Rows that became visible between `enter()` and `leave()`. */
  readonly leaked: string[]
  /** Total number of rows written. */
  readonly written: number
  readonly switches: number
}

/** Switches the mode the given number of times or, with `untilLeak`, until something has leaked. */
async function race(
  { maintenance }: Installed,
  database: TestDatabase,
  windows: number,
  untilLeak = false,
): Promise<Outcome> {
  const writers = await Writers.start(
    "writer.js",
    Array.from({ length: writerCount }, () => [database.url]),
  )
  const leaked: string[] = []
  let switched = 0
  try {
    await withClient(database.url, async (observer) => {
      const rows = async () =>
        new Map(
          (await observer.query<{ id: number; door: string }>("select id, door from ledger")).rows.map(
            (row) => [row.id, row.door],
          ),
        )
      await writers.lap()
      while (switched < windows && !(untilLeak && leaked.length > 0)) {
        await maintenance.enter(++switched % 4 === 0 ? "exclusive" : "concurrent", { as: "alice" })
        const atEnter = await rows()
        await writers.lap()
        for (const [id, door] of await rows()) if (!atEnter.has(id)) leaked.push(door)
        await maintenance.leave({ as: "alice" })
        await writers.lap()
      }
    })
    const [{ written } = { written: 0 }] = await database.sql<{ written: number }>(
      "select count(*)::int as written from ledger",
    )
    return { leaked, written, switches: switched }
  } finally {
    await writers.stop()
  }
}

describe(`A switch under ${writerCount} writing processes`, function () {
  this.timeout(180_000 + switches * 10_000)
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => database.current.sql(ledger))
  beforeEach(() => database.current.sql("truncate ledger"))

  it(`lets no write through in ${switches} windows`, async () => {
    const outcome = await race(installed.current, database.current, switches)
    if (isLong) console.log(`      ${outcome.written} rows written around ${outcome.switches} windows`)
    expect(outcome.leaked).to.deep.equal([])
    expect(outcome.written).to.be.greaterThan(switches)
  })

  it("is detected to leak if enter() does not wait for those who hold the gate", async () => {
    const restore = await withoutWaiting(database.current)
    // Longer than `enter()` takes.
    await database.current.sql(linger(0.2))
    try {
      const outcome = await race(installed.current, database.current, brokenSwitches, true)
      expect(outcome.leaked).not.to.deep.equal([])
    } finally {
      await restore()
      await database.current.sql(linger(0.01))
    }
  })
})
