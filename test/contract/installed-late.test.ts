import { expect } from "chai"
import * as pg from "pg"
import type { DataSource } from "typeorm"
import { installMaintenance, WriteVetoedError } from "../../src"
import { newDataSource, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { poolOf } from "../support/pool"

const insert = "insert into loot (name) values ('gold')"

/** Leaves a transaction open on the single connection of the pool. */
async function leaveOpen(dataSource: DataSource, ...texts: string[]): Promise<void> {
  const client = await poolOf(dataSource).connect()
  for (const text of ["begin", insert, ...texts]) await client.query(text).catch(() => undefined)
  client.release()
}

const prototype = pg.Client.prototype as { getTransactionStatus?: unknown }

/** Runs without pg's transaction status, as with older versions of pg. */
async function untold<T>(work: () => Promise<T>): Promise<T> {
  const { getTransactionStatus } = prototype
  delete prototype.getTransactionStatus
  try {
    return await work()
  } finally {
    prototype.getTransactionStatus = getTransactionStatus
  }
}

/** Ways in which another user ends the open transaction. */
const ends: Record<string, (client: pg.PoolClient) => Promise<unknown>> = {
  "a text": (client) => client.query("commit"),
  "a text with values": (client) => client.query({ text: "commit", queryMode: "extended" } as pg.QueryConfig),
  "a text of several statements": (client) => client.query(`${insert}; commit`),
  "a query object": (client) =>
    new Promise((resolve, reject) => {
      client.query(new pg.Query("commit")).on("end", resolve).on("error", reject)
    }),
}

describe("The plugin, installed in a DataSource in use,", () => {
  const database = useDatabase()
  before(() => database.current.sql("create table loot (name text)"))
  beforeEach(() => database.current.sql("truncate loot"))

  /** Installs the plugin, lets alice enter concurrent mode, and checks that nothing is stored. */
  const inWindow = async (dataSource: DataSource, work: () => Promise<unknown>): Promise<void> => {
    const maintenance = installMaintenance(dataSource)
    try {
      await maintenance.enter("concurrent", { as: "alice" })
      await work()
      expect(await database.current.sql("select name from loot")).to.deep.equal([])
      await maintenance.leave({ as: "alice" })
    } finally {
      await maintenance.uninstall()
    }
  }
  const withOne = (work: (dataSource: DataSource) => Promise<void>) =>
    withPlainDataSource(database.current.url, { poolSize: 1 }, work)

  for (const [name, end] of Object.entries(ends)) {
    for (const [pgIs, within] of [
      ["", (work: () => Promise<void>) => work()],
      [", without pg's transaction status", untold],
    ] as const) {
      it(`does not let an open transaction on an idle connection commit by ${name}${pgIs}`, () =>
        within(() =>
          withOne(async (dataSource) => {
            await leaveOpen(dataSource)
            await inWindow(dataSource, async () => {
              const client = await poolOf(dataSource).connect()
              const error = await errorOf(end(client))
              client.release()
              expect(error).to.be.instanceOf(WriteVetoedError)
            })
          }),
        ))
    }
  }

  it("does not let a failed transaction that was left open store anything", () =>
    withOne(async (dataSource) => {
      await leaveOpen(dataSource, "select 1 / 0")
      await inWindow(dataSource, async () => {
        const client = await poolOf(dataSource).connect()
        const error = await errorOf(client.query(`rollback; ${insert}`))
        client.release()
        expect(error).to.be.instanceOf(WriteVetoedError)
      })
    }))

  it("does not let a transaction of a query runner in use commit", () =>
    withOne(async (dataSource) => {
      const runner = dataSource.createQueryRunner()
      await runner.startTransaction()
      await runner.query(insert)
      await inWindow(dataSource, async () => {
        // The runner is still TypeORM's own, which wraps pg's errors.
        const error = (await errorOf(runner.commitTransaction())) as { driverError?: unknown }
        expect(error.driverError).to.be.instanceOf(WriteVetoedError)
        await runner.release()
      })
    }))

  it("does not let a transaction commit whose BEGIN is still in flight", () =>
    withOne(async (dataSource) => {
      const runner = dataSource.createQueryRunner()
      const client = (await runner.connect()) as pg.PoolClient
      const asked = [client.query("select 1"), client.query("begin"), client.query(insert)]
      await inWindow(dataSource, async () => {
        expect(await errorOf(client.query("commit"))).to.be.instanceOf(WriteVetoedError)
        await Promise.all(asked)
        await runner.release()
      })
    }))

  it("needs no additional query on a new connection, even without pg's transaction status", () =>
    untold(async () => {
      const dataSource = newDataSource(database.current.url, { poolSize: 2 })
      const maintenance = installMaintenance(dataSource)
      await dataSource.initialize()
      const pool = poolOf(dataSource)
      const first = await pool.connect()
      const second = await pool.connect()
      const sent: unknown[] = []
      const { stream } = (second as unknown as { connection: { stream: { write: unknown } } }).connection
      const write = stream.write as (...args: unknown[]) => unknown
      stream.write = (...args: unknown[]) => {
        sent.push(args[0])
        return write.apply(stream, args)
      }
      await second.query("select 1")
      expect(sent).to.have.length(1)
      for (const client of [first, second]) client.release()
      await dataSource.destroy()
      await maintenance.uninstall()
    }))
})
