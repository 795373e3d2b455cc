import { expect } from "chai"
import type { DataSource, QueryRunner } from "typeorm"
import { WriteVetoedError } from "../../src"
import { Barrier } from "../support/barrier"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { inventory, stock } from "../support/inventory"
import { nothingStray, stray } from "../support/pool"
import { openShop, restock } from "../support/shop"
import { withRunner } from "../doors/door"
import { outcomeOf } from "../doors/outcome"

const add = "insert into audit (note) values ($1) returning id, note"

/** Several concurrent calls on one query runner, and their results. */
const crowds: Record<string, (runner: QueryRunner) => Promise<unknown>[]> = {
  "two queries": (runner) => [runner.query(add, ["one"]), runner.query(add, ["two"])],
  "two queries, the first fails": (runner) => [runner.query("select 1 / 0"), runner.query(add, ["two"])],
  "a transaction by texts": (runner) => [
    runner.query("begin"),
    runner.query(add, ["one"]),
    runner.query("commit"),
    runner.query("begin"),
    runner.query("select note from audit order by id"),
    runner.query("commit"),
  ],
  "a transaction by texts that fails": (runner) => [
    runner.query("begin"),
    runner.query(add, ["one"]),
    runner.query("select 1 / 0"),
    runner.query("commit"),
  ],
  "statements that commit by themselves": (runner) => [
    runner.query("call write_and_commit('one')"),
    runner.query("do $$ begin insert into audit (note) values ('two'); commit; end $$"),
    runner.query("begin; insert into audit (note) values ('three'); commit"),
    runner.query("vacuum audit"),
  ],
  "1,000 queries": (runner) =>
    Array.from({ length: 1000 }, (_, index) => runner.query(add, [`note ${index}`])),
}

describe("Concurrent calls on one query runner", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => openShop(database.current))
  beforeEach(() => restock(database.current))

  const settle = (dataSource: DataSource, crowd: (runner: QueryRunner) => Promise<unknown>[]) =>
    withRunner(dataSource, async (runner) => {
      await runner.connect()
      return Promise.all(crowd(runner).map((call) => outcomeOf(() => call)))
    })

  for (const [name, crowd] of Object.entries(crowds)) {
    it(`behave as in plain TypeORM, in the order of the calls: ${name}`, async () => {
      const plain = await withPlainDataSource(database.current.url, { poolSize: 1 }, (d) => settle(d, crowd))
      const { things, sequences } = await inventory(database.current)
      await restock(database.current)
      const { dataSource } = installed.current
      expect(await settle(dataSource, crowd)).to.deep.equal(plain)
      expect(await inventory(database.current)).to.deep.include({ things, sequences })
      expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    })

    it(`store nothing in concurrent mode: ${name}`, async () => {
      const { dataSource, maintenance } = installed.current
      const before = stock(await inventory(database.current))
      await maintenance.enter("concurrent", { as: "alice" })
      const outcomes = await settle(dataSource, crowd)
      expect(outcomes.some(({ refusedBy }) => refusedBy !== undefined)).to.equal(true)
      expect(stock(await inventory(database.current))).to.equal(before)
      await maintenance.leave({ as: "alice" })
      expect(stock(await inventory(database.current))).to.equal(before)
      expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    })
  }

  it("are vetoed one by one if they are 1,000 writes of another user", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const outcomes = await settle(dataSource, crowds["1,000 queries"] as never)
    await maintenance.leave({ as: "alice" })
    expect(new Set(outcomes.map(({ refusedBy }) => refusedBy))).to.deep.equal(
      new Set([WriteVetoedError.name]),
    )
  })

  /** A write that waits for a lock when its runner is released. */
  const releaseInFlight = async (dataSource: DataSource, begin: boolean) => {
    const barrier = await Barrier.close(database.current.url)
    const runner = dataSource.createQueryRunner()
    await runner.connect()
    if (begin) await runner.startTransaction()
    const write = outcomeOf(() =>
      runner.query("insert into audit (note) select 'x' from (select pg_advisory_xact_lock(4711)) waited"),
    )
    await barrier.waiting()
    const released = runner.release()
    await barrier.open()
    const outcome = await write
    await released
    return outcome
  }

  it("finish as in plain TypeORM if the runner is released meanwhile", async () => {
    const plain = await withPlainDataSource(database.current.url, { poolSize: 1 }, (d) =>
      releaseInFlight(d, false),
    )
    const { things } = await inventory(database.current)
    await restock(database.current)
    const { dataSource } = installed.current
    expect(await releaseInFlight(dataSource, false)).to.deep.equal(plain)
    expect((await inventory(database.current)).things).to.deep.equal(things)
    expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
  })

  it("are rolled back if the runner is released in a transaction", async () => {
    const { dataSource } = installed.current
    const before = stock(await inventory(database.current))
    expect(await releaseInFlight(dataSource, true)).to.deep.include({ refusedBy: undefined })
    expect(stock(await inventory(database.current))).to.equal(before)
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
  })

  it("store nothing if the runner is released in concurrent mode", async () => {
    const { dataSource, maintenance } = installed.current
    const before = stock(await inventory(database.current))
    await maintenance.enter("concurrent", { as: "alice" })
    const outcome = await releaseInFlight(dataSource, false)
    expect(outcome.refusedBy).to.equal(WriteVetoedError.name)
    await maintenance.leave({ as: "alice" })
    expect(stock(await inventory(database.current))).to.equal(before)
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
  })
})
