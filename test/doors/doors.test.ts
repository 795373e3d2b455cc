import { expect } from "chai"
import { Client } from "pg"
import type { DataSource } from "typeorm"
import {
  AccessRefusedError,
  installMaintenance,
  type Maintenance,
  type Mode,
  WriteVetoedError,
} from "../../src"
import { newDataSource } from "../support/data-source"
import { type TestDatabase, useDatabase } from "../support/database"
import { type Inventory, inventory, stock } from "../support/inventory"
import { nothingStray, stray } from "../support/pool"
import { Estate, openShop, type Outsider, restock } from "../support/shop"
import { notWaiting } from "../support/window"
import { corpus } from "./corpus"
import type { Door, Site } from "./door"
import { type Outcome, outcomeOf } from "./outcome"
import { Recorder } from "./recorder"

/** The result of opening a door. */
interface Run {
  readonly outcome: Outcome
  /** The calls of the logger and the subscribers. */
  readonly transcript: string
  readonly before: Inventory
  readonly after: Inventory
}

/** The result of plain TypeORM, and the shop after it. */
const shown = ({ outcome, after: { things, sequences } }: Run) =>
  [...outcome.shown, ...things, ...sequences].join("\n")

/** The complete result. */
const all = (found: Inventory) => [stock(found), ...found.sequences].join("\n")

interface Recorded {
  readonly dataSource: DataSource
  readonly recorder: Recorder
}

function recorded(url: string): Recorded {
  const recorder = new Recorder()
  const { logger } = recorder
  return { dataSource: newDataSource(url, { logger, maxQueryExecutionTime: -1 }), recorder }
}

/** A client without the plugin, for the duration of the tests. */
async function outsiderOf(database: TestDatabase): Promise<Outsider> {
  const client = new Client({ connectionString: database.url })
  await client.connect()
  database.beforeDrop(() => client.end())
  return { sql: async (text, values) => (await client.query(text, values)).rows as never }
}

describe("Every door", () => {
  const database = useDatabase()
  let site: Site
  let plain: Recorded
  let fenced: Recorded
  let maintenance: Maintenance
  const { stackTraceLimit } = Error
  before(async () => {
    // The plugin adds its own stack frames.
    Error.stackTraceLimit = 50
    database.current.beforeDrop(() => Promise.resolve(void (Error.stackTraceLimit = stackTraceLimit)))
    await openShop(database.current)
    const outsider = await outsiderOf(database.current)
    const [{ name } = { name: "" }] = await outsider.sql<{ name: string }>(
      "select current_database() || '_1' as name",
    )
    site = { ...outsider, name, estate: new Estate(1) }
    plain = recorded(database.current.url)
    fenced = recorded(database.current.url)
    maintenance = installMaintenance(fenced.dataSource)
    for (const { dataSource, recorder } of [plain, fenced]) {
      await dataSource.initialize()
      dataSource.subscribers.push(recorder.subscriber)
      database.current.beforeDrop(() => dataSource.destroy())
    }
    database.current.beforeDrop(() => maintenance.uninstall())
  })

  /** Opens a door in a new shop. */
  const run = async (
    { run: open, arrange }: Door,
    { dataSource, recorder }: Recorded,
    as: { mode?: Mode; maintainer?: string } = {},
  ): Promise<Run> => {
    await restock(site)
    await arrange?.(site)
    if (as.mode) await maintenance.enter(as.mode, { as: "alice", drain: notWaiting })
    const before = await inventory(site)
    recorder.take()
    const work = () => outcomeOf(() => open(dataSource, site))
    const outcome = await (as.maintainer ? maintenance.runAs(as.maintainer, work) : work())
    const transcript = recorder.take().join("\n")
    return { outcome, transcript, before, after: await inventory(site) }
  }

  const expectUntouched = async (done: Run) => {
    expect(stock(done.after), "as an outsider sees it").to.equal(stock(done.before))
    const asMaintainer = await maintenance.runAs("alice", () =>
      inventory({ sql: (text, values) => fenced.dataSource.query(text, values) }),
    )
    expect(stock(asMaintainer), "as the maintainer sees it").to.equal(stock(done.before))
    expect(await stray(fenced.dataSource, site)).to.deep.equal(nothingStray)
    await maintenance.leave({ as: "alice" })
    expect(stock(await inventory(site)), "when it is over").to.equal(stock(done.before))
  }

  for (const [group, doors] of Object.entries(corpus)) {
    describe(group, () => {
      for (const [name, door] of Object.entries(doors)) {
        describe(name, () => {
          let inPlain: Run
          before(async () => {
            inPlain = await run(door, plain)
          })
          afterEach(async () => {
            if ((await maintenance.status()).mode !== "normal") await maintenance.leave({ as: "alice" })
          })

          it("behaves in normal mode as in plain TypeORM", async () => {
            const done = await run(door, fenced)
            expect(shown(done)).to.equal(shown(inPlain))
            expect(done.transcript).to.equal(inPlain.transcript)
            expect(await stray(fenced.dataSource, site)).to.deep.equal(nothingStray)
            const { before, after } = done
            if (door.changesNothing) expect(after.things).to.deep.equal(before.things)
            else expect(all(after)).not.to.equal(all(before))
          })

          it(`is answered in concurrent mode by ${door.inConcurrent ?? "the veto"}, and stores nothing`, async () => {
            const done = await run(door, fenced, { mode: "concurrent" })
            if (door.inConcurrent === "as in plain TypeORM") expect(shown(done)).to.equal(shown(inPlain))
            else if (door.inConcurrent === "no error") expect(done.outcome).to.deep.equal(inPlain.outcome)
            else expect(done.outcome.refusedBy).to.equal(WriteVetoedError.name)
            await expectUntouched(done)
          })

          it("is refused in exclusive mode", async () => {
            const done = await run(door, fenced, { mode: "exclusive" })
            expect(done.outcome.refusedBy).to.equal(AccessRefusedError.name)
            await expectUntouched(done)
          })

          for (const mode of ["concurrent", "exclusive"] as const) {
            it(`behaves for the maintainer in ${mode} mode as in plain TypeORM`, async () => {
              const done = await run(door, fenced, { mode, maintainer: "alice" })
              expect(shown(done)).to.equal(shown(inPlain))
              expect(done.transcript).to.equal(inPlain.transcript)
            })
          }
        })
      }
    })
  }
})
