import { expect } from "chai"
import type { DataSource } from "typeorm"
import { Barrier } from "../support/barrier"
import { withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { inventory, stock } from "../support/inventory"
import { withTimersOf } from "../support/long-timers"
import { nothingStray, stray } from "../support/pool"
import { openShop, restock } from "../support/shop"
import { insertSql, withRunner } from "../doors/door"
import { outcomeOf } from "../doors/outcome"
import { until } from "../support/until"

describe("A query_timeout", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  // It expires while the server waits at the barrier, however slow the machine is.
  const queryTimeoutMs = 50_001
  const extra = { query_timeout: queryTimeoutMs }
  const waiting = "insert into audit (note) select 'x' from (select pg_advisory_xact_lock(4711)) waited"

  const timedOut = async (dataSource: DataSource, work: (dataSource: DataSource) => Promise<unknown>) => {
    const barrier = await Barrier.close(database.current.url)
    const outcome = await withTimersOf(queryTimeoutMs, async (elapse) => {
      const coming = outcomeOf(() => work(dataSource))
      await barrier.waiting()
      elapse()
      return coming
    })
    await barrier.open()
    return outcome
  }

  for (const [name, work] of Object.entries<(dataSource: DataSource) => Promise<unknown>>({
    "outside of a transaction": (d) => d.query(waiting),
    "for a text without parameters in a query runner": (d) =>
      withRunner(d, (runner) => runner.query(waiting)),
    "for several statements": (d) => d.query(`select 1; ${waiting}`),
  })) {
    it(`reports the error of plain TypeORM, and leaves the pool intact: ${name}`, async () => {
      const { url } = database.current
      const plain = await withPlainDataSource(url, { poolSize: 2, extra }, (d) => timedOut(d, work))
      expect(plain.shown.join()).to.include("Query read timeout")
      await withMaintenance(url, { poolSize: 2, extra }, async ({ dataSource, maintenance }) => {
        expect(await timedOut(dataSource, work)).to.deep.equal(plain)
        await maintenance.enter("concurrent", { as: "alice" })
        await restock(database.current)
        const before = stock(await inventory(database.current))
        expect(await timedOut(dataSource, work)).to.deep.equal(plain)
        await answered()
        expect(stock(await inventory(database.current))).to.equal(before)
        await maintenance.leave({ as: "alice" })
        await Promise.all([dataSource.query(insertSql), dataSource.query("select 1")])
        expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
      })
    })
  }

  /** Resolves when the server has finished the abandoned work. */
  const answered = async () => {
    const running =
      "select from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and datname = current_database()"
    await until(async () => (await database.current.sql(running)).length === 0)
  }
})
