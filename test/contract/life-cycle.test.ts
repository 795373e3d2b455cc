import { expect } from "chai"
import { type EntitySubscriberInterface, QueryRunnerAlreadyReleasedError } from "typeorm"
import { setTimeout as pause } from "node:timers/promises"
import { installMaintenance, MaintenanceError } from "../../src"
import { newDataSource, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { nothingStray, poolOf, stray } from "../support/pool"
import { openShop } from "../support/shop"

/** A subscriber that delays every statement. */
class Slow implements EntitySubscriberInterface {
  async beforeQuery(): Promise<void> {
    await pause(50)
  }
}

describe("The life cycle of a DataSource", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  const watches = async () => {
    const { instances } = await installed.current.maintenance.status()
    return instances.length
  }

  describe("a query runner that is released within a transaction", () => {
    const stored = async (note: string) =>
      (await database.current.sql("select from audit where note = $1", [note])).length
    const insert = (note: string) => `insert into audit (note) values ('${note}')`

    for (const subscribers of [[], [Slow]]) {
      const beside = subscribers.length > 0 ? ", with a slow subscriber" : ""

      it(`runs what was requested before, and says what is stored${beside}`, async () => {
        await withMaintenance(database.current.url, { subscribers }, async ({ dataSource }) => {
          const note = `committed ${subscribers.length}`
          const runner = dataSource.createQueryRunner()
          await runner.query("begin")
          await runner.query(insert(note))
          const committed = errorOf(runner.query("commit"))
          const released = runner.release()
          expect(await committed).to.equal(undefined)
          await released
          expect(await stored(note)).to.equal(1)
        })
      })

      it(`takes nothing more, neither a statement nor a COMMIT${beside}`, async () => {
        await withMaintenance(database.current.url, { subscribers }, async ({ dataSource }) => {
          const note = `refused ${subscribers.length}`
          const runner = dataSource.createQueryRunner()
          await runner.query("begin")
          await runner.query(insert(note))
          const released = runner.release()
          const late = await Promise.all([insert(note), "commit"].map((text) => errorOf(runner.query(text))))
          for (const error of late) expect(error).to.be.instanceOf(QueryRunnerAlreadyReleasedError)
          await Promise.all([released, runner.release()])
          expect(await stored(note)).to.equal(0)
        })
      })
    }

    it("by destroy(): the transaction is stored if and only if its call resolves", async () => {
      for (const waits of [0, 1, 2, 3, 5, 8, 13, 21]) {
        const note = `destroyed ${waits}`
        const dataSource = newDataSource(database.current.url)
        const maintenance = installMaintenance(dataSource)
        await dataSource.initialize()
        let begun: () => void = () => undefined
        const isBegun = new Promise<void>((resolve) => (begun = resolve))
        const transaction = errorOf(
          dataSource.transaction(async (manager) => {
            await manager.query(insert(note))
            begun()
            for (let turn = 0; turn < waits; turn++) await new Promise(setImmediate)
            await manager.query(insert(note))
          }),
        )
        await isBegun
        await dataSource.destroy()
        const error = await transaction
        expect(await stored(note), String(error)).to.equal(error === undefined ? 2 : 0)
        await maintenance.uninstall()
      }
    })
  })

  for (const subscribers of [[], [Slow]]) {
    const beside = subscribers.length > 0 ? ", with a slow subscriber" : ""
    it(`gives no connection to a query that was requested on a query runner before its release${beside}`, async () => {
      const options = { poolSize: 1, subscribers }
      await withMaintenance(database.current.url, options, async ({ dataSource, maintenance }) => {
        await maintenance.enter("concurrent", { as: "alice" })
        const holder = dataSource.createQueryRunner()
        await holder.connect()
        const released = dataSource.createQueryRunner()
        const late = errorOf(
          maintenance.runAs("bob", () => released.query("insert into audit (note) values ('late')")),
        )
        await released.release()
        const working = maintenance.runAs("alice", () =>
          dataSource.transaction(async (manager) => {
            await manager.query("insert into audit (note) values ('own')")
            await late
          }),
        )
        await holder.release()
        await working
        expect(await late).to.have.property("name", "QueryRunnerAlreadyReleasedError")
        expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
        await maintenance.leave({ as: "alice" })
      })
      expect(await database.current.sql("select from audit where note = 'late'")).to.have.length(0)
      expect(await database.current.sql("select from audit where note = 'own'")).to.have.length(1)
      await database.current.sql("delete from audit")
    })
  }

  it("leaves no watch after destroy(), whatever is called meanwhile", async () => {
    const asked = ["status", "whenWritable", "assertWritable", "query"] as const
    for (const call of asked) {
      const dataSource = newDataSource(database.current.url)
      const maintenance = installMaintenance(dataSource)
      await dataSource.initialize()
      const destroyed = dataSource.destroy()
      const asking = errorOf(call === "query" ? dataSource.query("select 1") : maintenance[call]())
      await destroyed
      expect(await asking).to.be.instanceOf(call === "query" ? Error : MaintenanceError)
      expect(await watches()).to.equal(1)
      await maintenance.uninstall()
    }
  })

  it("leaves no listeners on the pools of earlier lives", async () => {
    const dataSource = newDataSource(database.current.url)
    const maintenance = installMaintenance(dataSource)
    for (let life = 0; life < 3; life++) {
      await dataSource.initialize()
      const master = poolOf(dataSource)
      const counts = () => ["connect", "acquire"].map((event) => master.listenerCount(event))
      expect(counts()).to.deep.equal([1, 1])
      await dataSource.query("select 1")
      await dataSource.destroy()
      expect(counts()).to.deep.equal([0, 0])
    }
    await maintenance.uninstall()
  })
})
