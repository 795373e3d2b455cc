import type { EventEmitter } from "node:events"
import { setTimeout as pause } from "node:timers/promises"
import type { DataSource, EntityManager, QueryRunner } from "typeorm"
import type { Maintenance } from "../../src"
import { withRunner } from "../doors/door"
import type { Dice } from "./dice"
import { Entry, Shelf, shelfCount } from "./ledger"

/** The parameters of an attempt. */
export interface Errand {
  readonly dataSource: DataSource
  readonly maintenance: Maintenance
  readonly dice: Dice
  /** The signature of the rows that it writes. */
  readonly signature: { readonly attempt: string; readonly actor: string; readonly door: string }
}

/** One way to read or write. All its writes belong to one transaction. */
export type Door = (errand: Errand) => Promise<unknown>

const insertSql = "insert into entry (attempt, actor, door) values ($1, $2, $3)"

function insertByText({ dataSource, signature }: Errand): Promise<unknown> {
  return dataSource.query(insertSql, Object.values(signature))
}

/** Reads a shelf, and saves it changed. Two concurrent calls wait for each other. */
async function restock(manager: EntityManager, { dice, signature }: Errand): Promise<void> {
  const shelf = await manager.findOneByOrFail(Shelf, { id: dice.between(1, shelfCount) })
  await manager.save(Object.assign(shelf, signature, { stock: shelf.stock + 1 }))
}

/** Runs several statements, with a pause in between. */
async function several(manager: EntityManager, errand: Errand, longestMs: number): Promise<void> {
  await manager.insert(Entry, { ...errand.signature })
  await pause(errand.dice.between(0, longestMs))
  await manager.findBy(Shelf, { stock: errand.dice.between(0, 100) })
  await manager.insert(Entry, { ...errand.signature })
}

/**
 * Reads a stream to its end. A stream of pg-query-stream 4.7 reports nothing when its connection is lost,
 * with or without the plugin.
 */
async function readStream(runner: QueryRunner): Promise<void> {
  const client: EventEmitter = await runner.connect()
  const stream = await runner.stream("select * from shelf, generate_series(1, 20)")
  await new Promise<void>((resolve, reject) => {
    const lost = () => reject(new Error("The connection of a stream was lost."))
    client.once("end", lost)
    stream.on("error", reject).on("end", () => resolve(void client.removeListener("end", lost)))
    stream.resume()
  })
}

/** Writes by explicit statements, and rolls back after a failure. */
async function byHand(errand: Errand): Promise<void> {
  await withRunner(errand.dataSource, async (runner) => {
    await runner.query("begin")
    try {
      await runner.query(insertSql, Object.values(errand.signature))
      await runner.query("commit")
    } catch (error) {
      await runner.query("rollback").catch(() => undefined)
      throw error
    }
  })
}

function quoted({ signature }: Errand): string {
  return Object.values(signature)
    .map((text) => `'${text}'`)
    .join(", ")
}

/** The doors that write. */
export const writing: Record<string, Door> = {
  insert: (errand) => errand.dataSource.getRepository(Entry).insert({ ...errand.signature }),
  save: (errand) => errand.dataSource.getRepository(Entry).save({ ...errand.signature }),
  query: insertByText,
  "read and save": (errand) => errand.dataSource.transaction((manager) => restock(manager, errand)),
  transaction: (errand) => errand.dataSource.transaction((manager) => several(manager, errand, 30)),
  "long transaction": (errand) => errand.dataSource.transaction((manager) => several(manager, errand, 3000)),
  "REPEATABLE READ": (errand) =>
    errand.maintenance.transaction((manager) => restock(manager, errand), { isolation: "REPEATABLE READ" }),
  SERIALIZABLE: (errand) =>
    errand.maintenance.transaction((manager) => several(manager, errand, 10), { isolation: "SERIALIZABLE" }),
  "by hand": byHand,
  "stream and insert": (errand) =>
    errand.dataSource.transaction(async (manager) => {
      await readStream(manager.queryRunner as QueryRunner)
      await manager.insert(Entry, { ...errand.signature })
    }),
  "several in a text": (errand) =>
    errand.dataSource.query(
      `begin; insert into entry (attempt, actor, door) values (${quoted(errand)}); commit`,
    ),
  "DO that commits": (errand) =>
    errand.dataSource.query(
      `do $$ begin insert into entry (attempt, actor, door) values (${quoted(errand)}); commit; end $$`,
    ),
  "job that waits": (errand) => errand.maintenance.whenRefused("wait", () => insertByText(errand)),
  "job in a transaction that waits": (errand) =>
    errand.maintenance.whenRefused("wait", () =>
      errand.dataSource.transaction((manager) => restock(manager, errand)),
    ),
  "job that asks": async (errand) => {
    await errand.maintenance.whenWritable({ timeoutMs: 20_000 })
    await insertByText(errand)
  },
}

/** The doors that only read. */
export const reading: Record<string, Door> = {
  "find one": ({ dataSource, dice }) =>
    dataSource.getRepository(Shelf).findOneBy({ id: dice.between(1, shelfCount) }),
  "query that reads": ({ dataSource }) => dataSource.query("select sum(stock) from shelf"),
  "stream that reads": ({ dataSource }) => withRunner(dataSource, readStream),
  "transaction that reads": ({ dataSource }) =>
    dataSource.transaction("REPEATABLE READ", async (manager) => {
      await manager.find(Shelf)
      await manager.count(Shelf)
    }),
}
