import { expect } from "chai"
import { AccessRefusedError, WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { inventory, openShop, restock } from "../support/shop"
import { writingDoors } from "./writing-doors"

describe("Every door that writes", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  const stray = async () => {
    const pool = (
      installed.current.dataSource.driver as unknown as { master: { totalCount: number; idleCount: number } }
    ).master
    const [{ open } = { open: -1 }] = await database.current.sql<{ open: number }>(
      "select count(*)::int as open from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
    )
    const [{ locks } = { locks: -1 }] = await database.current.sql<{ locks: number }>(
      "select count(*)::int as locks from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
    )
    return { lent: pool.totalCount - pool.idleCount, open, locks }
  }

  for (const [group, doors] of Object.entries(writingDoors)) {
    describe(group, () => {
      for (const [name, door] of Object.entries(doors)) {
        it(`${name}: writes in normal mode, is vetoed in concurrent, refused in exclusive, open to the maintainer`, async () => {
          const { dataSource, maintenance } = installed.current
          await restock(database.current)
          const before = await inventory(database.current)

          await maintenance.enter("concurrent", { as: "alice" })
          const veto: unknown = await door(dataSource).catch((error: unknown) => error)
          expect(veto, "in concurrent mode").to.be.instanceOf(WriteVetoedError)
          expect(await inventory(database.current)).to.deep.equal(before)
          expect(await stray()).to.deep.equal({ lent: 0, open: 0, locks: 0 })

          await maintenance.enter("exclusive", { as: "alice" })
          const refusal: unknown = await door(dataSource).catch((error: unknown) => error)
          expect(refusal, "in exclusive mode").to.be.instanceOf(AccessRefusedError)
          expect(await inventory(database.current)).to.deep.equal(before)

          await maintenance.runAs("alice", () => door(dataSource))
          expect(await inventory(database.current), "by the maintainer").not.to.deep.equal(before)
          await maintenance.leave({ as: "alice" })

          await restock(database.current)
          await door(dataSource)
          expect(await inventory(database.current), "in normal mode").not.to.deep.equal(before)
          expect(await stray()).to.deep.equal({ lent: 0, open: 0, locks: 0 })
        })
      }
    })
  }
})
