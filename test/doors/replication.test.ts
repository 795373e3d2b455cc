import { expect } from "chai"
import type { DataSource } from "typeorm"
import { AccessRefusedError, WriteVetoedError } from "../../src"
import { type Installed, withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { inventory, stock } from "../support/inventory"
import { openShop, restock } from "../support/shop"
import { outcomeOf } from "./outcome"

/** The role of the connection that ran a statement: primary or replica. */
const where = "select current_setting('application_name') as name"

describe("Replication with reads on a replica", () => {
  const database = useDatabase()
  before(() => openShop(database.current))
  beforeEach(() => restock(database.current))

  /** The replica is the same database under another name. It is used for reads only. */
  const options = () => {
    const url = (name: string) => {
      const named = new URL(database.current.url)
      named.searchParams.set("application_name", name)
      if (name === "replica") named.searchParams.set("options", "-c default_transaction_read_only=on")
      return { url: named.toString() }
    }
    return { url: undefined, replication: { master: url("master"), slaves: [url("replica")] } } as object
  }
  const replicated = (work: (installed: Installed) => Promise<unknown>) =>
    withMaintenance(database.current.url, options(), work)
  const onReplica = async <T>(dataSource: DataSource, text: string): Promise<T> => {
    const runner = dataSource.createQueryRunner("slave")
    try {
      return (await runner.query(text)) as T
    } finally {
      await runner.release()
    }
  }

  const reads: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
    find: (d) => d.getRepository(Item).find({ order: { id: "ASC" } }),
    count: (d) => d.getRepository(Item).count(),
    "a query builder": (d) => d.getRepository(Item).createQueryBuilder("i").orderBy("i.id").getMany(),
    "a query on the replica": (d) => onReplica(d, where),
    "a query on the master": (d) => d.query(where),
    "a failing write on the replica": (d) => onReplica(d, "insert into item (name) values ('crate')"),
  }
  for (const [name, read] of Object.entries(reads)) {
    it(`behaves as in plain TypeORM in normal and concurrent mode, and refuses in exclusive mode: ${name}`, async () => {
      const plain = await withPlainDataSource(database.current.url, options(), (d) =>
        outcomeOf(() => read(d)),
      )
      await replicated(async ({ dataSource, maintenance }) => {
        expect(await outcomeOf(() => read(dataSource))).to.deep.equal(plain)
        await maintenance.enter("concurrent", { as: "alice" })
        expect(await outcomeOf(() => read(dataSource))).to.deep.equal(plain)
        await maintenance.enter("exclusive", { as: "alice" })
        const refused = await outcomeOf(() => read(dataSource))
        expect(refused.refusedBy).to.equal(AccessRefusedError.name)
        const byMaintainer = await maintenance.runAs("alice", () => outcomeOf(() => read(dataSource)))
        expect(byMaintainer).to.deep.equal(plain)
        await maintenance.leave({ as: "alice" })
      })
    })
  }

  it("sends writes to the primary, where concurrent mode vetoes them", async () => {
    await replicated(async ({ dataSource, maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const before = stock(await inventory(database.current))
      for (const write of [
        () => dataSource.getRepository(Item).save({ name: "crate" }),
        () => dataSource.query("insert into item (name) values ('crate')"),
        () => dataSource.transaction((manager) => manager.insert(Item, { name: "crate" })),
      ]) {
        expect((await outcomeOf(write)).refusedBy).to.equal(WriteVetoedError.name)
      }
      expect(stock(await inventory(database.current))).to.equal(before)
      await maintenance.leave({ as: "alice" })
      await dataSource.getRepository(Item).save({ name: "crate" })
      expect(stock(await inventory(database.current))).not.to.equal(before)
    })
  })
})
