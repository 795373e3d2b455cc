import { expect } from "chai"
import type { DataSource, QueryFailedError } from "typeorm"
import { WriteVetoedError } from "../../src"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { inventory, stock } from "../support/inventory"
import { nothingStray, stray } from "../support/pool"
import { openShop, restock } from "../support/shop"
import { withRunner } from "./door"

/**
 * The facts that identify the error. With the plugin, PostgreSQL may detect the conflict as early as in the
 * fence.
 */
const known = ({ constructor, message, driverError }: QueryFailedError) => ({
  class: constructor.name,
  message,
  code: (driverError as { code?: string }).code,
})

/** Two transactions of which only one can commit. The first one does. */
function conflict(dataSource: DataSource): Promise<unknown> {
  return withRunner(dataSource, (one) =>
    withRunner(dataSource, async (two) => {
      for (const [index, runner] of [one, two].entries()) {
        await runner.startTransaction("SERIALIZABLE")
        await runner.query("select sum(stock) from item")
        await runner.query("update item set stock = 0 where id = $1", [index + 1])
      }
      await one.commitTransaction()
      const failure = await two.commitTransaction().catch((error: QueryFailedError) => known(error))
      await two.rollbackTransaction()
      return failure
    }),
  )
}

describe("A serialization failure at COMMIT", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  beforeEach(() => restock(database.current))

  it("is reported as in plain TypeORM, and the other transaction commits", async () => {
    const plain = await withPlainDataSource(database.current.url, {}, conflict)
    expect(plain).to.deep.include({ code: "40001" })
    const { things } = await inventory(database.current)
    await restock(database.current)
    const { dataSource } = installed.current
    expect(await conflict(dataSource)).to.deep.equal(plain)
    expect((await inventory(database.current)).things).to.deep.equal(things)
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
  })

  it("yields to the veto in concurrent mode, and nothing is stored", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const before = stock(await inventory(database.current))
    const veto: unknown = await conflict(dataSource).catch((error: unknown) => error)
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(stock(await inventory(database.current))).to.equal(before)
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    await maintenance.leave({ as: "alice" })
  })
})
