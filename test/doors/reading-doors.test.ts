import { expect } from "chai"
import { finished } from "node:stream/promises"
import type { DataSource } from "typeorm"
import { AccessRefusedError } from "../../src"
import { useMaintenance, withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Category, Item } from "../support/entities"
import { inventory, stock } from "../support/inventory"
import { openShop, restock } from "../support/shop"

/** A way to read through a DataSource. */
type Reading = (dataSource: DataSource) => Promise<unknown>

const items = (dataSource: DataSource) => dataSource.getRepository(Item)

const readingDoors: Record<string, Reading> = {
  find: (d) => items(d).find({ relations: { tags: true } }),
  findOneBy: (d) => items(d).findOneBy({ id: 1 }),
  count: (d) => items(d).count(),
  "find with the database cache": (d) => items(d).find({ cache: true }),
  "find with the database cache, twice": async (d) => [
    await items(d).find({ cache: { id: "all", milliseconds: 60_000 } }),
    await items(d).find({ cache: { id: "all", milliseconds: 60_000 } }),
  ],
  "find with the database cache in a transaction": (d) => d.transaction((m) => m.find(Item, { cache: true })),
  "query builder": (d) => items(d).createQueryBuilder("i").where("i.stock > :n", { n: 1 }).getMany(),
  tree: (d) => d.getTreeRepository(Category).findTrees(),
  query: (d) => d.query("select name from item order by id"),
  "query with parameters": (d) => d.query("select name from item where id = $1", [1]),
  "update of no row": (d) => items(d).update({ id: 999 }, { stock: 1 }),
  "delete of no row": (d) => d.query("delete from item where id = $1", [999]),
  "save of an unchanged entity": async (d) => items(d).save(await items(d).findOneByOrFail({ id: 1 })),
  "transaction that reads": (d) => d.transaction((m) => m.find(Item)),
  "transaction that reads, SERIALIZABLE": (d) => d.transaction("SERIALIZABLE", (m) => m.find(Item)),
  "empty transaction": (d) => d.transaction(() => Promise.resolve(1)),
  "nested transactions that read": (d) => d.transaction((m) => m.transaction((inner) => inner.find(Item))),
  "transaction that rolls back what it wrote": (d) =>
    d
      .transaction(async (m) => {
        await m.save(Item, { name: "crate" })
        throw new Error("changed my mind")
      })
      .catch((error: Error) => error.message),
  "several statements that read": (d) => d.query("select 1 as one; select 2 as two"),
  "DO block that reads": (d) => d.query("do $$ begin perform count(*) from item; end $$"),
  "DO block that reads in a transaction": (d) =>
    d.transaction(async (m) => [
      await m.find(Item),
      (await m.query("do $$ begin perform count(*) from item; end $$")) as unknown,
      await m.find(Item),
    ]),
  "EXPLAIN ANALYZE of a read": async (d) =>
    (await d.query("explain (analyze, costs off, timing off, summary off, buffers off) select 1")) as unknown,
  SHOW: (d) => d.query("show server_version_num"),
  SET: (d) => d.query("set search_path = public"),
  VALUES: (d) => d.query("values (1), (2)"),
  TABLE: (d) => d.query("table tag"),
  "COMMIT behind a comment": async (d) => {
    const runner = d.createQueryRunner()
    await runner.query("begin")
    const rows: unknown = await runner.query("select name from item order by id")
    await runner.query("/* done */ commit -- really")
    await runner.release()
    return rows
  },
  "BEGIN behind a nested comment": async (d) => {
    const runner = d.createQueryRunner()
    await runner.query("/* a /* b */ */ begin")
    await runner.query("set transaction isolation level serializable")
    const rows: unknown = await runner.query("show transaction_isolation")
    await runner.query("commit")
    await runner.release()
    return rows
  },
  "BEGIN and a read in one text": async (d) => {
    const runner = d.createQueryRunner()
    await runner.query("begin; select 1")
    const rows: unknown = await runner.query("select name from item order by id")
    await runner.query("rollback")
    await runner.release()
    return rows
  },
  stream: async (d) => {
    const runner = d.createQueryRunner()
    const rows: unknown[] = []
    const stream = await runner.stream("select g from generate_series(1, 250) g")
    await finished(stream.on("data", (row) => rows.push(row)))
    await runner.release()
    return rows
  },
  "stream in a transaction": async (d) => {
    const runner = d.createQueryRunner()
    await runner.startTransaction()
    const rows: unknown[] = []
    const stream = await runner.stream("select g from generate_series(1, 250) g")
    await finished(stream.on("data", (row) => rows.push(row)))
    await runner.commitTransaction()
    await runner.release()
    return rows
  },
  "metadata of the schema": async (d) => {
    const runner = d.createQueryRunner()
    const table = await runner.getTable("item")
    await runner.release()
    // The catalog returns them in any order.
    return table?.columns.map(({ name }) => name).toSorted()
  },
  "synchronize without changes": (d) => d.synchronize(),
}

describe("Every door that reads", () => {
  const database = useDatabase()
  const options = { cache: true, synchronize: true } as const
  const installed = useMaintenance(database, options)
  before(() => openShop(database.current))

  for (const [name, door] of Object.entries(readingDoors)) {
    it(`answers in concurrent mode as in plain TypeORM, and is refused in exclusive mode: ${name}`, async () => {
      const { dataSource, maintenance } = installed.current
      await restock(database.current)
      const plain = await withPlainDataSource(database.current.url, { cache: true }, door)
      await database.current.sql('delete from "query-result-cache"')
      const normal = await door(dataSource)
      await database.current.sql('delete from "query-result-cache"')
      const before = await inventory(database.current)
      await maintenance.enter("concurrent", { as: "alice" })
      const concurrent = await door(dataSource)
      const afterReading = await inventory(database.current)
      await maintenance.enter("exclusive", { as: "alice" })
      const refusal: unknown = await door(dataSource).catch((error: unknown) => error)
      await maintenance.leave({ as: "alice" })

      expect(normal).to.deep.equal(plain)
      expect(concurrent).to.deep.equal(plain)
      expect(stock(afterReading)).to.equal(stock(before))
      if (typeof refusal === "string") expect(refusal).to.match(/^Access refused/)
      else expect(refusal).to.be.instanceOf(AccessRefusedError)
    })
  }

  it("does not become a write through a cache set by setOptions()", async () => {
    const cached = () => database.current.sql('select from "query-result-cache"')
    await database.current.sql('delete from "query-result-cache"')
    await withMaintenance(database.current.url, {}, async ({ dataSource, maintenance }) => {
      dataSource.setOptions({ cache: true })
      await maintenance.enter("concurrent", { as: "alice" })
      expect(await items(dataSource).find({ cache: true })).to.have.length(1)
      expect(await cached()).to.have.length(0)
      await maintenance.leave({ as: "alice" })
      await items(dataSource).find({ cache: true })
      expect(await cached()).to.have.length(1)
    })
  })
})
