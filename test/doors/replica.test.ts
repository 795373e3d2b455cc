import { expect } from "chai"
import type { DataSource } from "typeorm"
import { AccessRefusedError, WriteVetoedError } from "../../src"
import { type Installed, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { openShop, restock } from "../support/shop"

describe("What TypeORM takes for a replica", () => {
  const database = useDatabase()
  const other = useDatabase()
  before(async () => {
    await openShop(database.current)
    await openShop(other.current)
  })
  beforeEach(() => restock(other.current))

  /** The replica is another database: it does not have the schema of the plugin, and can be written to. */
  const replicated = (work: (installed: Installed) => Promise<unknown>) => {
    const [master, replica] = [{ url: database.current.url }, { url: other.current.url }]
    return withMaintenance(
      database.current.url,
      { url: undefined, replication: { master, slaves: [replica] } } as object,
      work,
    )
  }
  const onReplica = async (dataSource: DataSource, ...texts: string[]): Promise<unknown> => {
    const runner = dataSource.createQueryRunner("slave")
    try {
      let rows: unknown
      for (const text of texts) rows = await runner.query(text)
      return rows
    } finally {
      await runner.release()
    }
  }
  const insert = "insert into audit (note) values ('new')"
  const stored = async () => (await other.current.sql("select from audit where note = 'new'")).length

  it("is read without the state, alone and in a transaction", async () => {
    await replicated(async ({ dataSource, maintenance }) => {
      for (const mode of ["normal", "concurrent"] as const) {
        await maintenance.enter(mode, { as: "alice" }).catch(() => undefined)
        expect(await onReplica(dataSource, "select 1 as one")).to.deep.equal([{ one: 1 }])
        expect(await onReplica(dataSource, "begin", "select 1 as one", "commit")).to.deep.equal([])
      }
      await maintenance.leave({ as: "alice" })
    })
  })

  it("is refused in exclusive mode", async () => {
    await replicated(async ({ dataSource, maintenance }) => {
      await maintenance.enter("exclusive", { as: "alice" })
      const refusal: unknown = await onReplica(dataSource, "select 1").catch((error: unknown) => error)
      expect(refusal).to.be.instanceOf(AccessRefusedError)
      expect(await maintenance.runAs("alice", () => onReplica(dataSource, "select 1 as one"))).to.deep.equal([
        { one: 1 },
      ])
      await maintenance.leave({ as: "alice" })
    })
  })

  for (const [name, texts] of Object.entries({
    alone: [insert],
    "in a transaction": ["begin", insert, "commit"],
    "by a function": ["select write_audit('new')"],
  })) {
    it(`stores nothing if it can be written to, and the state is elsewhere: ${name}`, async () => {
      await replicated(async ({ dataSource }) => {
        const failure: unknown = await onReplica(dataSource, ...texts).catch((error: unknown) => error)
        expect((failure as Error).message).to.include("cannot be read")
        expect(await stored()).to.equal(0)
      })
    })

    it(`is fenced as the master if it is the master: ${name}`, async () => {
      const url = { url: other.current.url }
      const options = { url: undefined, replication: { master: url, slaves: [url] } } as object
      await withMaintenance(other.current.url, options, async ({ dataSource, maintenance }) => {
        await onReplica(dataSource, ...texts)
        expect(await stored()).to.equal(1)
        await maintenance.enter("concurrent", { as: "alice" })
        const veto: unknown = await onReplica(dataSource, ...texts).catch((error: unknown) => error)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await maintenance.runAs("alice", () => onReplica(dataSource, ...texts))
        expect(await stored()).to.equal(2)
        await maintenance.leave({ as: "alice" })
        await other.current.sql("drop schema maintenance cascade")
      })
    })
  }
})
