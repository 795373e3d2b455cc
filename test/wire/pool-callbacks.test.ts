import { AsyncLocalStorage } from "node:async_hooks"
import { expect } from "chai"
import type { Pool, PoolClient } from "pg"
import { WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { poolOf } from "../support/pool"

const write = "insert into paid (by) values ('x')"

/** Ways to write through the pool itself. */
const ways: Record<string, (pool: Pool) => Promise<unknown>> = {
  "pool.query() with a promise": (pool) => pool.query(write),
  "pool.query() with a callback": (pool) =>
    new Promise((resolve, reject) => {
      pool.query(write, (error, result) => (error ? reject(error) : resolve(result)))
    }),
  "pool.query() with values and a callback": (pool) =>
    new Promise((resolve, reject) => {
      const given = ["x"]
      pool.query("insert into paid (by) values ($1)", given, (error) => (error ? reject(error) : resolve(0)))
    }),
  "pool.connect() with a promise": async (pool) => {
    const client = await pool.connect()
    return client.query(write).finally(() => client.release())
  },
  "pool.connect() with a callback": (pool) =>
    new Promise((resolve, reject) => {
      pool.connect((failure, client, release) => {
        if (failure || !client) return reject(failure)
        return client.query(write, (error, result) => {
          release()
          if (error) reject(error)
          else resolve(result)
        })
      })
    }),
}

/** Ways in which a borrowed connection becomes available. */
const releases: Record<string, (client: PoolClient) => void> = {
  "is released": (client) => client.release(),
  "is closed": (client) => client.release(true),
}

describe("A pool without an available connection", () => {
  const database = useDatabase()
  const session = new AsyncLocalStorage<string>()
  const installed = useMaintenance(database, {
    poolSize: 1,
    plugin: { currentUser: () => session.getStore() },
  })
  const identities: Record<string, <T>(user: string, work: () => T) => T> = {
    runAs: (user, work) => installed.current.maintenance.runAs(user, work),
    currentUser: (user, work) => session.run(user, work),
  }
  before(() => database.current.sql("create table paid (by text)"))
  beforeEach(async () => {
    await database.current.sql("truncate paid")
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
  })
  afterEach(() => installed.current.maintenance.leave({ as: "alice" }))

  const pool = () => poolOf(installed.current.dataSource)

  for (const [way, run] of Object.entries(ways))
    for (const [how, release] of Object.entries(releases))
      for (const [by, as] of Object.entries(identities)) {
        /**
         * The outcome of a write that `who` requests while `holder` has the connection. `holder` then
         * releases it.
         */
        const asked = async (who: string, holder: string): Promise<unknown> => {
          const client = await as(holder, () => pool().connect())
          const answer = as(who, () => errorOf(run(pool())))
          as(holder, () => release(client))
          return answer
        }

        it(`runs a write by ${way} as its caller (${by}) when the connection ${how}`, async () => {
          expect(await asked("bob", "alice")).to.be.instanceOf(WriteVetoedError)
          expect(await database.current.sql("select * from paid")).to.deep.equal([])
          expect(await asked("alice", "bob")).to.equal(undefined)
          expect(await database.current.sql("select * from paid")).to.deep.equal([{ by: "x" }])
        })
      }

  it("calls back in the context of the caller", async () => {
    const client = await pool().connect()
    const seen = new Promise((resolve) =>
      session.run("bob", () => pool().query("select 1", () => resolve(session.getStore()))),
    )
    session.run("alice", () => client.release())
    expect(await seen).to.equal("bob")
  })
})
