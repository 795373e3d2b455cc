import { expect } from "chai"
import type { DataSource } from "typeorm"
import { WriteVetoedError } from "../src"
import { withMaintenance } from "./support/data-source"
import { useDatabase } from "./support/database"
import { Tag } from "./support/entities"
import { openShop } from "./support/shop"

const prepared = (dataSource: DataSource): Promise<{ name: string }[]> =>
  dataSource.query("select name from pg_prepared_statements where name like 'maintenance%'")

/** How a session forgets what it had prepared. */
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

  it("is prepared once in a session", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource }) => {
      await dataSource.query("select 1")
      expect(await prepared(dataSource)).to.deep.equal([{ name: "maintenance_gate_maintenance" }])
    })
  })

  it("is not prepared with preparedStatements: false", async () => {
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
    it(`is prepared again after ${name}, and nothing fails for it`, async () => {
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

  it("survives a transaction in which it was parsed and that failed", async () => {
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
})
