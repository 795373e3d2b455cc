import { once } from "node:events"
import type { Readable } from "node:stream"
import { finished } from "node:stream/promises"
import type { DataSource, EntityManager, QueryRunner } from "typeorm"
import { Item } from "../support/entities"
import type { Estate, Outsider } from "../support/shop"

/** The shop that a door opens into, beside its DataSource. */
export interface Site extends Outsider {
  readonly estate: Estate
  /** The name of the shop in what is in no schema, like a prepared transaction. */
  readonly name: string
}

/** A way to change data through a DataSource; resolves with whatever its user would get to see. */
export interface Door {
  readonly run: (dataSource: DataSource, site: Site) => Promise<unknown>
  /** What an outsider does before. */
  readonly arrange?: (site: Site) => Promise<unknown>
  /**
   * What a stranger gets in concurrent mode. Default: the veto. Whoever closes a cursor or a stream before its end
   * gets no error, because these tell none any more when they are closed.
   */
  readonly inConcurrent?: "the veto" | "as in plain TypeORM" | "no error"
  /** Why nothing is seen to have changed, in normal mode neither. Default: a change is seen. */
  readonly changesNothing?: string
  /** What PostgreSQL does not roll back, and the documentation says so. */
  readonly stays?: string
}

/** Doors by their names. */
export type Doors = Record<string, Door>

export const insertSql = "insert into item (name) values ('crate')"

export const items = (dataSource: DataSource) => dataSource.getRepository(Item)

/** Runs with a query runner, and releases it. */
export async function withRunner<T>(
  dataSource: DataSource,
  work: (runner: QueryRunner) => Promise<T>,
): Promise<T> {
  const runner = dataSource.createQueryRunner()
  try {
    return await work(runner)
  } finally {
    await runner.release()
  }
}

/** Runs texts one after the other on one connection, in whatever transactions they make; resolves with their results. */
export function texts(...statements: string[]): Door["run"] {
  return (dataSource) =>
    withRunner(dataSource, async (runner) => {
      const results: unknown[] = []
      for (const text of statements) results.push(await runner.query(text))
      return results
    })
}

/** A transaction by hand, with no rollback on error: the plugin must leave the connection clean all the same. */
export function byHand(
  work: (runner: QueryRunner) => Promise<unknown>,
  isolation?: "SERIALIZABLE" | "REPEATABLE READ",
): Door["run"] {
  return (dataSource) =>
    withRunner(dataSource, async (runner) => {
      await runner.startTransaction(isolation)
      const result = await work(runner)
      await runner.commitTransaction()
      return result
    })
}

export function inTransaction(work: (manager: EntityManager) => Promise<unknown>): Door["run"] {
  return (dataSource) => dataSource.transaction(work)
}

/** As much of pg's client as doors use. */
export interface RawClient {
  query<Query extends { submit: unknown }>(query: Query): Query
  query(
    query: unknown,
    values?: unknown,
    callback?: (error: Error | null, result: unknown) => void,
  ): Promise<unknown>
}

/** On the client behind a query runner. */
export function onRawClient(work: (client: RawClient, site: Site) => Promise<unknown>): Door["run"] {
  return (dataSource, site) =>
    withRunner(dataSource, async (runner) => work((await runner.connect()) as RawClient, site))
}

/** All rows of a stream; rejects with its error. */
export async function rowsOf(stream: Readable): Promise<unknown[]> {
  const rows: unknown[] = []
  await finished(stream.on("data", (row) => rows.push(row)))
  return rows
}

/** Reads this many rows of a stream, and gives it up; resolves when it is closed. */
export async function abandon(stream: Readable, count: number): Promise<number> {
  let read = 0
  for await (const _ of stream.iterator({ destroyOnReturn: false })) if (++read === count) break
  stream.destroy()
  if (!stream.closed) await once(stream, "close")
  return read
}
