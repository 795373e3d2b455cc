import { once } from "node:events"
import type { Readable } from "node:stream"
import { finished } from "node:stream/promises"
import type { DataSource, EntityManager, QueryRunner } from "typeorm"
import { Item } from "../support/entities"
import type { Estate, Outsider } from "../support/shop"

/** The shop of a door, beside its DataSource. */
export interface Site extends Outsider {
  readonly estate: Estate
  /** The name of the shop, for objects outside of any schema, such as prepared transactions. */
  readonly name: string
}

/** A way to change data through a DataSource. Resolves with everything that its user sees. */
export interface Door {
  readonly run: (dataSource: DataSource, site: Site) => Promise<unknown>
  /** Preparation by an outsider. */
  readonly arrange?: (site: Site) => Promise<unknown>
  /**
   * The result for other users in concurrent mode. Default: the veto. A cursor or stream that is closed
   * before its end reports no error, because it reports none once it is closed.
   */
  readonly inConcurrent?: "the veto" | "as in plain TypeORM" | "no error"
  /** The reason why no change is visible, even in normal mode. By default a change is visible. */
  readonly changesNothing?: string
  /** Changes that PostgreSQL does not roll back, as documented. */
  readonly stays?: string
}

/** Doors by name. */
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

/** Runs texts one after the other on one connection. Resolves with their results. */
export function texts(...statements: string[]): Door["run"] {
  return (dataSource) =>
    withRunner(dataSource, async (runner) => {
      const results: unknown[] = []
      for (const text of statements) results.push(await runner.query(text))
      return results
    })
}

/** A manual transaction without a rollback on error. The plugin must clean the connection up nevertheless. */
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

/** The part of pg's client that doors use. */
export interface RawClient {
  query<Query extends { submit: unknown }>(query: Query): Query
  query(
    query: unknown,
    values?: unknown,
    callback?: (error: Error | null, result: unknown) => void,
  ): Promise<unknown>
}

/** Runs with the client behind a query runner. */
export function onRawClient(work: (client: RawClient, site: Site) => Promise<unknown>): Door["run"] {
  return (dataSource, site) =>
    withRunner(dataSource, async (runner) => work((await runner.connect()) as RawClient, site))
}

/** All rows of a stream. Rejects with its error. */
export async function rowsOf(stream: Readable): Promise<unknown[]> {
  const rows: unknown[] = []
  await finished(stream.on("data", (row) => rows.push(row)))
  return rows
}

/** Reads the given number of rows from a stream and destroys it. Resolves when it is closed. */
export async function abandon(stream: Readable, count: number): Promise<number> {
  let read = 0
  for await (const _ of stream.iterator({ destroyOnReturn: false })) if (++read === count) break
  stream.destroy()
  if (!stream.closed) await once(stream, "close")
  return read
}
