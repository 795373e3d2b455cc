import { expect } from "chai"
import type { DataSource, QueryRunner } from "typeorm"
import { lockKeys } from "../../src/state/schema"
import { Barrier } from "../support/barrier"
import { withMaintenance, withPlainDataSource } from "../support/data-source"
import { TestDatabase, useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { nothingStray, poolOf, stray } from "../support/pool"
import { Proxy } from "../support/proxy"
import { openShop, restock } from "../support/shop"
import { insertSql, withRunner } from "../doors/door"
import { type Outcome, outcomeOf } from "../doors/outcome"

/** An operation on a DataSource whose connection is disturbed. */
type Scenario = (dataSource: DataSource) => Promise<Outcome>

const waitingInsert = "insert into audit (note) select 'x' from (select pg_advisory_xact_lock(4711)) waited"

/** Runs `end`, and resolves when the client behind a runner knows that its connection is gone. */
async function ended(runner: QueryRunner, end: () => Promise<unknown>): Promise<void> {
  const client = (await runner.connect()) as NodeJS.EventEmitter
  client.on("error", () => undefined)
  const gone = new Promise((resolve) => client.once("end", resolve))
  await Promise.all([gone, end()])
}

describe("A lost connection or a cancelled statement", () => {
  const database = useDatabase()
  before(async () => {
    await openShop(database.current)
    await database.current.sql(`
      create table slow (note text);
      create function wait() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock(4711); return null; end';
      create constraint trigger wait after insert on slow deferrable initially deferred
        for each row execute function wait()`)
  })
  beforeEach(async () => {
    await restock(database.current)
    await database.current.sql("truncate slow")
  })

  const stored = async () => {
    const [{ count } = { count: -1 }] = await database.current.sql<{ count: number }>(
      `select ((select count(*) from item where name = 'crate') + (select count(*) from slow)
        + (select count(*) from audit where note = 'x'))::int as count`,
    )
    return count
  }

  /** Compares plain TypeORM with the plugin, which must be intact afterwards. */
  const inBoth = async (scenario: Scenario, url = database.current.url) => {
    const plain = await withPlainDataSource(url, { poolSize: 1 }, scenario)
    const storedByPlain = await stored()
    await restock(database.current)
    await database.current.sql("truncate slow")
    await withMaintenance(url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      // Ensures that no query of the plugin is in flight, which would be cut off instead.
      await maintenance.status()
      const fenced = await scenario(dataSource)
      expect(fenced.shown.join("\n")).to.equal(plain.shown.join("\n"))
      expect(await stored()).to.equal(storedByPlain)
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.leave({ as: "alice" })
      expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
      expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    })
    return plain
  }

  /** Acts on the session of a statement while it waits. */
  const whileItWaits =
    (
      work: (dataSource: DataSource) => Promise<unknown>,
      act: (barrier: Barrier) => Promise<void>,
    ): Scenario =>
    async (dataSource) => {
      const barrier = await Barrier.close(database.current.url)
      const outcome = outcomeOf(() => work(dataSource))
      await act(barrier)
      await barrier.open()
      return outcome
    }
  const kill = (barrier: Barrier) => barrier.terminateWaiting()
  const cancel = (barrier: Barrier) => barrier.cancelWaiting()

  it("behaves as in plain TypeORM: terminated during a statement outside of a transaction", async () => {
    const plain = await inBoth(whileItWaits((d) => d.query(waitingInsert), kill))
    expect(plain.shown.join()).to.include("57P01")
  })

  it("behaves as in plain TypeORM: terminated during a statement in a transaction", async () => {
    const plain = await inBoth(whileItWaits((d) => d.transaction((m) => m.query(waitingInsert)), kill))
    expect(plain.refusedBy).to.equal("QueryFailedError")
  })

  it("behaves as in plain TypeORM: terminated between a statement and the COMMIT of its transaction", async () => {
    await inBoth((dataSource) =>
      withRunner(dataSource, async (runner) => {
        await runner.startTransaction()
        const [{ pid }] = (await runner.query(`${insertSql} returning pg_backend_pid() as pid`)) as [
          { pid: number },
        ]
        await ended(runner, () => database.current.sql("select pg_terminate_backend($1)", [pid]))
        return outcomeOf(() => runner.commitTransaction())
      }),
    )
    expect(await stored()).to.equal(0)
  })

  it("behaves as in plain TypeORM: terminated at COMMIT, after the fence", async () => {
    const plain = await inBoth(
      whileItWaits((d) => d.transaction((m) => m.query("insert into slow values ('x')")), kill),
    )
    expect(plain.refusedBy).to.equal("QueryFailedError")
    expect(await stored()).to.equal(0)
  })

  it("behaves as in plain TypeORM: terminated at the end of a statement outside of a transaction, after the fence", async () => {
    const plain = await inBoth(whileItWaits((d) => d.query("insert into slow values ('x')"), kill))
    expect(plain.refusedBy).to.equal("QueryFailedError")
    expect(await stored()).to.equal(0)
  })

  for (const [where, what, count] of [
    ["before", "behaves as in plain TypeORM: a COMMIT does not reach the server", 0],
    ["after", "behaves as in plain TypeORM: the answer to a COMMIT is lost", 1],
  ] as const) {
    it(what, async () => {
      const proxy = await Proxy.start(database.current.url)
      try {
        await inBoth(
          (dataSource) =>
            withRunner(dataSource, async (runner) => {
              await runner.startTransaction()
              await runner.query(insertSql)
              proxy.cutNext(where)
              return outcomeOf(() => runner.commitTransaction())
            }),
          proxy.url,
        )
        expect(await stored()).to.equal(count)
      } finally {
        await proxy.stop()
      }
    })
  }

  it("behaves as in plain TypeORM: the answer to a statement outside of a transaction is lost", async () => {
    const proxy = await Proxy.start(database.current.url)
    try {
      await inBoth(async (dataSource) => {
        await dataSource.query("select 1")
        proxy.cutNext("after")
        return outcomeOf(() => dataSource.query(insertSql))
      }, proxy.url)
      expect(await stored()).to.equal(1)
    } finally {
      await proxy.stop()
    }
  })

  for (const [where, work] of Object.entries<(dataSource: DataSource) => Promise<unknown>>({
    "outside of a transaction": (d) => d.query(insertSql),
    "in a transaction": (d) => d.transaction((m) => m.query(insertSql)),
    "in a statement that commits by itself": (d) => d.query("call write_and_commit('x')"),
  })) {
    it(`stores nothing if terminated while the fence waits, and enter() resolves: ${where}`, async () => {
      const { url } = database.current
      await withMaintenance(url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
        const { epoch } = await maintenance.status()
        const { gate, hold } = lockKeys("maintenance")
        const key = where.includes("by itself") ? hold : gate
        const barrier = await Barrier.close(url, `${key}, ${epoch}`)
        const outcome = outcomeOf(() => work(dataSource))
        await barrier.terminateWaiting()
        await barrier.open()
        expect((await outcome).shown.join()).to.match(/QueryFailedError.*57P01/)
        expect(await stored()).to.equal(0)
        await maintenance.enter("concurrent", { as: "alice" })
        await maintenance.leave({ as: "alice" })
        await dataSource.query(insertSql)
        expect(await stored()).to.equal(1)
        expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
      })
    })

    it(`stores nothing if cancelled while the fence waits, and the connection is clean: ${where}`, async () => {
      const { url } = database.current
      await withMaintenance(url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
        const { epoch } = await maintenance.status()
        const { gate, hold } = lockKeys("maintenance")
        const key = where.includes("by itself") ? hold : gate
        const barrier = await Barrier.close(url, `${key}, ${epoch}`)
        const outcome = outcomeOf(() => work(dataSource))
        await barrier.cancelWaiting()
        await barrier.open()
        expect((await outcome).shown.join()).to.match(/QueryFailedError.*57014/)
        expect(await stored()).to.equal(0)
        await dataSource.query(insertSql)
        expect(await stored()).to.equal(1)
        expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
      })
    })
  }

  it("releases the gate if cancelled just after taking it, before a self-committing statement", async () => {
    const own = await TestDatabase.create()
    try {
      await withMaintenance(own.url, { poolSize: 1 }, async ({ dataSource }) => {
        await own.sql(`create or replace function maintenance.current_state() returns maintenance.state
          language plpgsql as 'begin perform pg_advisory_xact_lock_shared(4711); return null; end'`)
        const barrier = await Barrier.close(own.url)
        const outcome = outcomeOf(() => dataSource.query("vacuum"))
        await barrier.cancelWaiting()
        expect((await outcome).shown.join()).to.match(/QueryFailedError.*57014/)
        await barrier.open()
        await dataSource.query("select 1")
        expect(await stray(dataSource, own)).to.deep.equal(nothingStray)
      })
    } finally {
      await own.drop()
    }
  })

  it("behaves as in plain TypeORM: terminated during a statement sent to the pool itself", async () => {
    const query = async (dataSource: DataSource) => {
      const pool = poolOf(dataSource)
      const events: unknown[] = []
      const noted = (event: Error) => events.push((event as { code?: string }).code ?? event.message)
      pool.on("error", noted)
      const error = (await pool.query(waitingInsert).catch((failure: unknown) => failure)) as Error
      events.push(`rejected with ${(error as { code?: string }).code}`)
      pool.off("error", noted)
      return events
    }
    const seen: unknown[][] = []
    await inBoth(
      whileItWaits(async (dataSource) => {
        seen.push(await query(dataSource))
      }, kill),
    )
    expect(seen[0]?.[0]).to.equal("rejected with 57P01")
    expect(seen[1]).to.deep.equal(seen[0])
  })

  it("does not end the process if it comes together with the readiness of a new connection, as it does with plain TypeORM", async () => {
    const proxy = await Proxy.start(database.current.url)
    try {
      await withMaintenance(proxy.url, { poolSize: 2 }, async ({ dataSource }) => {
        await withRunner(dataSource, async (runner) => {
          // The pool has no connection left, and opens one.
          await runner.query("select 1")
          proxy.terminateNext()
          const lost = await errorOf(dataSource.query("select 2"))
          expect((lost as Error | undefined)?.message).to.match(/terminat|not queryable|ended/)
          expect(await dataSource.query("select 3 as three")).to.deep.equal([{ three: 3 }])
        })
      })
    } finally {
      await proxy.stop()
    }
  })

  it("behaves as in plain TypeORM: cancelled during a statement outside of a transaction", async () => {
    const plain = await inBoth(whileItWaits((d) => d.query(waitingInsert), cancel))
    expect(plain.shown.join()).to.include("57014")
  })

  it("behaves as in plain TypeORM: cancelled during a statement in a transaction", async () => {
    const plain = await inBoth(whileItWaits((d) => d.transaction((m) => m.query(waitingInsert)), cancel))
    expect(plain.shown.join()).to.include("57014")
  })

  it("behaves as in plain TypeORM: cancelled at COMMIT", async () => {
    const plain = await inBoth(
      whileItWaits((d) => d.transaction((m) => m.query("insert into slow values ('x')")), cancel),
    )
    expect(plain.shown.join()).to.include("57014")
    expect(await stored()).to.equal(0)
  })
})
