import { expect } from "chai"
import type { Socket } from "node:net"
import { finished } from "node:stream/promises"
import type { DataSource } from "typeorm"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item, Tag } from "../support/entities"
import { openShop, restock } from "../support/shop"

interface PoolWithClients {
  _clients: { connection: { stream: Socket } }[]
}

/** The number of round trips: answers of the server to anything sent since its last answer. */
async function countRoundTrips(dataSource: DataSource, work: () => Promise<unknown>): Promise<number> {
  await dataSource.query("select 1")
  const { master } = dataSource.driver as unknown as { master: PoolWithClients }
  let count = 0
  const undos = master._clients.map(({ connection: { stream } }) => {
    let isAsked = false
    const { write } = stream
    stream.write = (...args: unknown[]) => {
      isAsked = true
      return (write as (...all: unknown[]) => boolean).apply(stream, args)
    }
    const answered = () => {
      if (isAsked) count++
      isAsked = false
    }
    stream.prependListener("data", answered)
    return () => {
      stream.write = write
      stream.removeListener("data", answered)
    }
  })
  try {
    await work()
  } finally {
    for (const undo of undos) undo()
  }
  return count
}

/** Reads a stream of rows to its end. */
async function drain(dataSource: DataSource, text: string): Promise<void> {
  const runner = dataSource.createQueryRunner()
  const stream = await runner.stream(text)
  await finished(stream.resume())
  await runner.release()
}

type Operation = (dataSource: DataSource) => Promise<unknown>

/** Operations, with the number of round trips in plain TypeORM 1.x and with the plugin. */
const operations: Record<string, [plain: number, plugin: number, run: Operation]> = {
  findOneBy: [1, 1, (d) => d.getRepository(Tag).findOneBy({ id: 1 })],
  "query without parameters": [1, 1, (d) => d.query("select 1")],
  "query with parameters": [1, 1, (d) => d.query("select $1::int", [1])],
  "insert by query builder": [
    1,
    1,
    (d) => d.createQueryBuilder().insert().into(Tag).values({ label: "x" }).execute(),
  ],
  "update by query builder": [
    1,
    1,
    (d) => d.createQueryBuilder().update(Tag).set({ label: "y" }).where("id = 1").execute(),
  ],
  "save of a new entity": [3, 2, (d) => d.getRepository(Tag).save({ label: "z" })],
  "read and save in a transaction": [
    5,
    4,
    (d) =>
      d.transaction(async (m) => {
        const item = await m.findOneByOrFail(Item, { id: 1 })
        await m.save(Item, { id: item.id, stock: item.stock + 1 })
      }),
  ],
  "read in a REPEATABLE READ transaction": [
    4,
    2,
    (d) => d.transaction("REPEATABLE READ", (m) => m.findOneBy(Tag, { id: 1 })),
  ],
  "BEGIN, insert and COMMIT as texts": [
    3,
    2,
    async (d) => {
      const runner = d.createQueryRunner()
      await runner.query("begin")
      await runner.query("insert into tag (label) values ('x')")
      await runner.query("commit")
      await runner.release()
    },
  ],
  "nested transactions that write": [
    6,
    5,
    (d) =>
      d.transaction(async (m) => {
        await m.insert(Tag, { label: "outer" })
        await m.transaction((inner) => inner.insert(Tag, { label: "inner" }))
      }),
  ],
  "a read that is rolled back": [
    3,
    2,
    (d) =>
      d.transaction((m) => m.find(Tag).then(() => Promise.reject(new Error("no")))).catch(() => undefined),
  ],
  // pg-query-stream fetches rows in batches until a batch is not full.
  "stream of one batch": [2, 2, (d) => drain(d, "select generate_series(1, 10)")],
  "stream of three batches": [4, 4, (d) => drain(d, "select generate_series(1, 250)")],
  "stream of a writing statement": [
    2,
    2,
    (d) => drain(d, "insert into tag (label) values ('x') returning id"),
  ],
  "CREATE TABLE": [1, 1, (d) => d.query("create table extra (id int)")],
  "DO block": [1, 1, (d) => d.query("do $$ begin perform 1; end $$")],
  // These take the gate before the statement, and release it afterwards.
  "DO block that may commit": [1, 3, (d) => d.query("do $$ begin perform 1; commit; end $$")],
  "several statements in one text": [1, 3, (d) => d.query("select 1; select 2")],
  "empty transaction": [2, 0, (d) => d.transaction(() => Promise.resolve())],
  "empty SERIALIZABLE transaction": [3, 0, (d) => d.transaction("SERIALIZABLE", () => Promise.resolve())],
  "transaction that is rolled back before it sent anything": [
    2,
    0,
    (d) => d.transaction(() => Promise.reject(new Error("no"))).catch(() => undefined),
  ],
}

describe("Round trips", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => openShop(database.current))
  beforeEach(() => restock(database.current))

  for (const [name, [plain, plugin, run]] of Object.entries(operations)) {
    it(`number ${plain} in plain TypeORM and ${plugin} with the plugin: ${name}`, async () => {
      const { dataSource, maintenance } = installed.current
      const inPlain = await withPlainDataSource(database.current.url, { poolSize: 1 }, (other) =>
        countRoundTrips(other, () => run(other)),
      )
      await restock(database.current)
      const inNormal = await countRoundTrips(dataSource, () => run(dataSource))
      await restock(database.current)
      await maintenance.enter("concurrent", { as: "alice" })
      const byMaintainer = await countRoundTrips(dataSource, () =>
        maintenance.runAs("alice", () => run(dataSource)),
      )
      await maintenance.leave({ as: "alice" })
      expect({ inPlain, inNormal, byMaintainer }).to.deep.equal({
        inPlain: plain,
        inNormal: plugin,
        byMaintainer: plugin,
      })
    })
  }

  it("remain 1 for findOneBy after a switch was rolled back", async () => {
    const { dataSource, maintenance } = installed.current
    await database.current.sql("begin; select maintenance.enter('concurrent', 'zoe', false, null); rollback")
    const find = () => dataSource.getRepository(Tag).findOneBy({ id: 1 })
    await find()
    expect(await maintenance.status()).to.include({ mode: "normal" })
    expect(await countRoundTrips(dataSource, find)).to.equal(1)
  })
})
