import { expect } from "chai"
import type { DataSource, QueryRunner } from "typeorm"
import { AccessRefusedError, type Mode, WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { openShop, restock } from "../support/shop"
import { notWaiting } from "../support/window"

const isolationLevels = ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] as const

/** Statements of a transaction before and after the switch. */
const histories: Record<string, { before: string[]; after: string[] }> = {
  "writes before the switch": { before: ["insert into item (name) values ('crate')"], after: [] },
  "reads before the switch, writes after it": {
    before: ["select * from item"],
    after: ["insert into item (name) values ('crate')"],
  },
  "does nothing before the switch, writes after it": {
    before: [],
    after: ["insert into item (name) values ('crate')"],
  },
  "writes before the switch, reads after it": {
    before: ["insert into item (name) values ('crate')"],
    after: ["select * from item"],
  },
}

async function begin(
  dataSource: DataSource,
  isolation: (typeof isolationLevels)[number],
): Promise<QueryRunner> {
  const runner = dataSource.createQueryRunner()
  await runner.startTransaction(isolation)
  return runner
}

describe("A transaction that began before the switch", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  beforeEach(() => restock(database.current))

  const crates = async () =>
    (await database.current.sql<{ count: number }>("select count(*)::int from item where name = 'crate'"))[0]
      ?.count

  for (const isolation of isolationLevels) {
    for (const [name, { before, after }] of Object.entries(histories)) {
      it(`does not commit in concurrent mode if it ${name}: ${isolation}`, async () => {
        const { dataSource, maintenance } = installed.current
        const runner = await begin(dataSource, isolation)
        for (const text of before) await runner.query(text)
        await maintenance.enter("concurrent", { as: "alice" })
        for (const text of after) await runner.query(text)
        const error = await runner.commitTransaction().catch((failure: unknown) => failure)
        await runner.release()
        await maintenance.leave({ as: "alice" })
        const hasOldSnapshot =
          before.length > 0 && (isolation === "REPEATABLE READ" || isolation === "SERIALIZABLE")
        if (hasOldSnapshot) expect(error).to.have.nested.property("driverError.code", "40001")
        else expect(error).to.be.instanceOf(WriteVetoedError)
        expect(await crates()).to.equal(0)
      })
    }

    it(`commits in concurrent mode if it only reads: ${isolation}`, async () => {
      const { dataSource, maintenance } = installed.current
      const runner = await begin(dataSource, isolation)
      await runner.query("select * from item")
      await maintenance.enter("concurrent", { as: "alice" })
      expect(await runner.query("select name from item where id = 1")).to.deep.equal([{ name: "anvil" }])
      await runner.commitTransaction()
      await runner.release()
      await maintenance.leave({ as: "alice" })
    })

    it(`is refused at its next statement in exclusive mode, and cannot commit: ${isolation}`, async () => {
      const { dataSource, maintenance } = installed.current
      const runner = await begin(dataSource, isolation)
      await runner.query("insert into item (name) values ('crate')")
      await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
      const statement: unknown = await runner.query("select 1").catch((failure: unknown) => failure)
      expect(statement).to.be.instanceOf(AccessRefusedError)
      const commit: unknown = await runner.commitTransaction().catch((failure: unknown) => failure)
      expect(commit).to.be.instanceOf(AccessRefusedError)
      await runner.release()
      await maintenance.leave({ as: "alice" })
      expect(await crates()).to.equal(0)
      expect(await dataSource.query("select count(*)::int from item where name = 'crate'")).to.deep.equal([
        { count: 0 },
      ])
    })

    it(`is retried by maintenance.transaction(), and meets the new state: ${isolation}`, async () => {
      const { maintenance } = installed.current
      const modes: Mode[] = []
      const error: unknown = await maintenance
        .transaction(
          async (manager) => {
            await manager.query("select * from item")
            if (modes.length === 0) await maintenance.enter("concurrent", { as: "alice" })
            modes.push((await maintenance.status()).mode)
            await manager.query("insert into item (name) values ('crate')")
          },
          { isolation, retries: 5 },
        )
        .catch((failure: unknown) => failure)
      await maintenance.leave({ as: "alice" })
      const isRetried = isolation === "REPEATABLE READ" || isolation === "SERIALIZABLE"
      expect(error).to.be.instanceOf(WriteVetoedError)
      expect(modes).to.deep.equal(isRetried ? ["concurrent", "concurrent"] : ["concurrent"])
    })
  }

  it("commits if it belongs to the maintainer, in the default isolation level", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.runAs("alice", async () => {
      const runner = await begin(dataSource, "READ COMMITTED")
      await runner.query("insert into item (name) values ('crate')")
      await maintenance.enter("exclusive")
      await runner.commitTransaction()
      await runner.release()
      await maintenance.leave()
    })
    expect(await crates()).to.equal(1)
  })

  it("is not waited for if it has prepared a statement in SQL, and does not commit", async () => {
    const { dataSource, maintenance } = installed.current
    const runner = await begin(dataSource, "READ COMMITTED")
    await runner.query("insert into item (name) values ('crate')")
    for (const text of [
      "prepare p as select 1",
      "prepare /* a */ q (int) as select $1",
      "PREPARE transactions as select 2",
    ])
      await runner.query(text)
    await maintenance.enter("concurrent", { as: "alice" })
    expect(await errorOf(runner.commitTransaction())).to.be.instanceOf(WriteVetoedError)
    await runner.query("deallocate all")
    await runner.release()
    await maintenance.leave({ as: "alice" })
    expect(await crates()).to.equal(0)
  })
})
