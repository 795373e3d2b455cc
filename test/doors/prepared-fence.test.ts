import { expect } from "chai"
import type { DataSource, EntityManager } from "typeorm"
import { WriteVetoedError } from "../../src"
import { withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { Tag } from "../support/entities"
import { openShop } from "../support/shop"

const prepared = (dataSource: DataSource): Promise<{ name: string }[]> =>
  dataSource.query("select name from pg_prepared_statements where name like 'maintenance%'")

/** Ways in which a session discards its prepared statements. */
const oblivions = {
  "DISCARD ALL": "discard all",
  "DEALLOCATE ALL": "deallocate all",
  "DEALLOCATE of the fence": 'deallocate "maintenance_gate_maintenance"',
  "a function that deallocates": "select forget()",
}

describe("The prepared fence", () => {
  const database = useDatabase()
  before(async () => {
    await openShop(database.current)
    await database.current.sql(
      "create function forget() returns void language plpgsql as 'begin execute ''deallocate all''; end'",
    )
  })

  it("is prepared once per session", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource }) => {
      await dataSource.query("select 1")
      expect(await prepared(dataSource)).to.deep.equal([{ name: "maintenance_gate_maintenance" }])
    })
  })

  it("is prepared again after a DO that deallocates it, and the DO runs only once", async () => {
    const noted = async () =>
      (await database.current.sql("select from audit where note = 'forgotten'")).length
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource }) => {
      const forgetting = "do $$ begin perform write_audit('forgotten'), forget(); end $$"
      await dataSource.query("do $$ begin perform 1; end $$")
      for (const count of [1, 2]) {
        await dataSource.query(forgetting)
        expect(await noted()).to.equal(count)
      }
    })
  })

  it("is not prepared if preparedStatements is false", async () => {
    const plugin = { preparedStatements: false }
    await withMaintenance(
      database.current.url,
      { poolSize: 1, plugin },
      async ({ dataSource, maintenance }) => {
        await dataSource.getRepository(Tag).insert({ label: "unprepared" })
        expect(await prepared(dataSource)).to.deep.equal([])
        await maintenance.enter("concurrent", { as: "alice" })
        const veto: unknown = await dataSource
          .getRepository(Tag)
          .insert({ label: "refused" })
          .catch((error: unknown) => error)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await maintenance.leave({ as: "alice" })
      },
    )
  })

  for (const [name, text] of Object.entries(oblivions)) {
    it(`is prepared again after ${name}, without any failure`, async () => {
      await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
        await dataSource.query("select 1")
        await dataSource.query(text)
        await dataSource.getRepository(Tag).insert({ label: name })
        expect(await dataSource.getRepository(Tag).countBy({ label: name })).to.equal(1)
        await dataSource.query(text)
        await dataSource.query("select 1")
        await dataSource.transaction((manager) => manager.insert(Tag, { label: name }))
        expect(await dataSource.getRepository(Tag).countBy({ label: name })).to.equal(2)
        await maintenance.enter("concurrent", { as: "alice" })
        await dataSource.query("discard all")
        const veto: unknown = await dataSource
          .transaction((manager) => manager.insert(Tag, { label: name }))
          .catch((error: unknown) => error)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await maintenance.leave({ as: "alice" })
      })
    })
  }

  it("survives a failed transaction in which it was parsed", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      await dataSource
        .getRepository(Tag)
        .insert({ label: "refused" })
        .catch(() => undefined)
      await dataSource.query("select * from nowhere").catch(() => undefined)
      await maintenance.leave({ as: "alice" })
      await dataSource.getRepository(Tag).insert({ label: "survivor" })
      expect(await dataSource.getRepository(Tag).countBy({ label: "survivor" })).to.equal(1)
    })
  })

  it("still vetoes after an execution that failed once it was parsed", async () => {
    const { url } = database.current
    await withMaintenance(url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const read = (manager: EntityManager) => manager.query("select 1")
      await dataSource.transaction(read)
      const failure: unknown = await withClient(url, async (other) => {
        await other.query("begin; alter sequence maintenance.stamp cache 1")
        const commit = maintenance.runAs("alice", () =>
          dataSource.transaction(async (manager) => {
            await manager.query("set local lock_timeout = '20ms'")
            await read(manager)
          }),
        )
        const error: unknown = await commit.catch((reason: unknown) => reason)
        await other.query("rollback")
        return error
      })
      expect(failure).to.have.property("code", "55P03")
      const write = (manager: EntityManager) => manager.insert(Tag, { label: "stolen" })
      const veto: unknown = await dataSource.transaction(write).catch((error: unknown) => error)
      expect(veto).to.be.instanceOf(WriteVetoedError)
      expect(await database.current.sql("select from tag where label = 'stolen'")).to.deep.equal([])
      await maintenance.leave({ as: "alice" })
    })
  })

  it("is accompanied by prepared starts and ends of transactions, which are prepared again if discarded", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource }) => {
      const read = () => dataSource.transaction("REPEATABLE READ", (manager) => manager.query("select 1"))
      const names = async (): Promise<string[]> =>
        (await dataSource.query("select name from pg_prepared_statements where name like 'pipelined%'"))
          .map(({ name }: { name: string }) => name)
          .sort()
      const expected = ["pipelined COMMIT", "pipelined START TRANSACTION ISOLATION LEVEL REPEATABLE READ"]
      await read()
      expect(await names()).to.deep.equal(expected)
      for (const oblivion of ["discard all", "select forget()"]) {
        await dataSource.query(oblivion)
        await read()
        expect(await names()).to.deep.equal(expected)
      }
    })
  })
})
