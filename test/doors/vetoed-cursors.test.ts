import { expect } from "chai"
import type { ClientBase } from "pg"
import Cursor = require("pg-cursor")
import { WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"

describe("A vetoed cursor of pg-cursor", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => database.current.sql("create table loot (name text)"))

  it("can be closed like any failed cursor, and its connection stays usable", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const runner = dataSource.createQueryRunner()
    const client = (await runner.connect()) as ClientBase
    const cursor = client.query(
      new Cursor("with new as (insert into loot values ('gold') returning name) select name from new"),
    )
    try {
      expect(await cursor.read(1)).to.deep.equal([{ name: "gold" }])
      expect(await errorOf(cursor.read(10))).to.be.instanceOf(WriteVetoedError)
    } finally {
      await cursor.close()
    }
    expect((await client.query("select 1 as one")).rows).to.deep.equal([{ one: 1 }])
    await runner.release()
    expect(await database.current.sql("select name from loot")).to.deep.equal([])
    await maintenance.leave({ as: "alice" })
  })
})
