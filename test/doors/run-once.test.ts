import { expect } from "chai"
import * as pg from "pg"
import Cursor from "pg-cursor"
import type { DataSource, QueryRunner } from "typeorm"
import { AccessRefusedError, type Maintenance, WriteVetoedError } from "../../src"
import { Barrier } from "../support/barrier"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { poolOf } from "../support/pool"
import { endWindowAfterEach } from "../support/window"
import { onRawClient, rowsOf, withRunner } from "./door"

const passed = "passed"
/** Waits in the middle of the statement until the barrier opens, then counts its run. */
const write =
  "insert into loot (run) select nextval('runs') from (select pg_advisory_xact_lock_shared(4711)) w"
const read = "select count(*)::int from loot, (select pg_advisory_xact_lock_shared(4711)) w"

interface Change {
  /** The mode at the beginning of the statement. */
  readonly from: "normal" | "concurrent"
  make(maintenance: Maintenance): Promise<unknown>
  /** The outcome of an in-flight statement. */
  readonly writes: typeof passed | typeof WriteVetoedError | typeof AccessRefusedError
  readonly reads: typeof passed | typeof AccessRefusedError
}

const as = "alice"
const notWaiting = { withinMs: 0, then: "proceed" } as const
const changes: Record<string, Change> = {
  "enter() in concurrent mode": {
    from: "normal",
    make: (m) => m.enter("concurrent", { as }),
    writes: WriteVetoedError,
    reads: passed,
  },
  "enter() in exclusive mode": {
    from: "normal",
    make: (m) => m.enter("exclusive", { as, drain: notWaiting }),
    writes: AccessRefusedError,
    reads: AccessRefusedError,
  },
  "leave()": { from: "concurrent", make: (m) => m.leave({ as }), writes: passed, reads: passed },
  "extend()": {
    from: "concurrent",
    make: (m) => m.extend({ as, expiresInMs: 60_000 }),
    writes: WriteVetoedError,
    reads: passed,
  },
  "extend() without an end": {
    from: "concurrent",
    make: (m) => m.extend({ as }),
    writes: WriteVetoedError,
    reads: passed,
  },
  "enter() again": {
    from: "concurrent",
    make: (m) => m.enter("concurrent", { as, reason: "again" }),
    writes: WriteVetoedError,
    reads: passed,
  },
  "transfer()": {
    from: "concurrent",
    make: (m) => m.transfer({ as, to: "carol" }),
    writes: WriteVetoedError,
    reads: passed,
  },
  "an inner during()": {
    from: "concurrent",
    make: (m) => m.during("concurrent", { as }, () => undefined),
    writes: WriteVetoedError,
    reads: passed,
  },
  "a take-over by an emergency user": {
    from: "concurrent",
    make: (m) => m.enter("concurrent", { as: "break-glass" }),
    writes: WriteVetoedError,
    reads: passed,
  },
}

/** The ways in which the statement is sent. */
const ways: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
  "a query": (d) => d.query(write),
  "a stream": (d) => withRunner(d, async (runner) => rowsOf(await runner.stream(`${write} returning run`))),
  "a pg-cursor": withClientOf(async (client) => {
    const cursor = client.query(new Cursor(`${write} returning run`))
    await cursor.read(10)
    await cursor.close()
  }),
  "a query object of pg": withClientOf(
    (client) =>
      new Promise((resolve, reject) => {
        client.query(new pg.Query(write).on("end", resolve).on("error", reject) as never)
      }),
  ),
  "a query of the pool": (d) => poolOf(d).query(write),
  "a statement with parameters": (d) => d.query(write.replace("'runs'", "$1::text::regclass"), ["runs"]),
}

function withClientOf(work: Parameters<typeof onRawClient>[0]): (dataSource: DataSource) => Promise<unknown> {
  return (dataSource) => onRawClient(work)(dataSource, undefined as never)
}

describe("A statement in flight during a change of mode", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => database.current.sql("create table loot (run int); create sequence runs"))
  beforeEach(() => database.current.sql("delete from loot; alter sequence runs restart"))
  endWindowAfterEach(installed)

  /** Blocks a statement of bob in its middle while the mode changes. Resolves with its outcome. */
  const inFlight = async (
    { from, make }: Change,
    work: (dataSource: DataSource) => Promise<unknown>,
    { dataSource, maintenance }: Installed = installed.current,
  ): Promise<unknown> => {
    if (from === "concurrent") await maintenance.enter("concurrent", { as })
    else await maintenance.status()
    const barrier = await Barrier.close(database.current.url)
    const outcome = maintenance
      .runAs("bob", () => work(dataSource))
      .then(
        () => passed,
        (error: unknown) => error,
      )
    await barrier.waiting()
    await make(maintenance)
    await barrier.open()
    return outcome
  }
  const runs = async () => {
    const [row] = await database.current.sql<{ runs: number }>(
      "select case when is_called then last_value::int else 0 end as runs from runs",
    )
    return row?.runs
  }
  /** Expects that the statement has run once, and is stored if it has passed. */
  const expectRun = async ({ writes }: Change) => {
    expect(await runs()).to.equal(1)
    expect(await database.current.sql("select from loot")).to.have.length(writes === passed ? 1 : 0)
  }
  const expectOutcome = (outcome: unknown, expected: unknown) => {
    if (expected === passed) expect(outcome).to.equal(passed)
    else expect(outcome).to.be.instanceOf(expected)
  }

  for (const [name, change] of Object.entries(changes)) {
    for (const [way, send] of Object.entries(ways)) {
      it(`runs once, and the state after it decides, if it writes: ${way}, ${name}`, async () => {
        expectOutcome(await inFlight(change, send), change.writes)
        await expectRun(change)
      })
    }

    it(`continues undisturbed if it reads: ${name}`, async () => {
      expectOutcome(await inFlight(change, (d) => d.query(read)), change.reads)
    })

    it(`takes its session-level lock only once: ${name}`, async () => {
      let runner: QueryRunner | undefined
      const outcome = await inFlight(change, (d) => {
        runner = d.createQueryRunner()
        return runner.query("select pg_advisory_lock_shared(4711)")
      })
      expectOutcome(outcome, change.reads)
      const { maintenance } = installed.current
      const unlock = () => runner?.query("select pg_advisory_unlock_shared(4711) as is_unlocked")
      const [first, second] = await maintenance.runAs("break-glass", async () => [
        await unlock(),
        await unlock(),
      ])
      await runner?.release()
      expect(first).to.deep.equal([{ is_unlocked: true }])
      expect(second).to.deep.equal([{ is_unlocked: false }])
    })
  }

  it("runs once in a transaction whose BEGIN is sent with it", async () => {
    const outcome = await inFlight(changes["leave()"] as Change, (d) => d.transaction((m) => m.query(write)))
    expect(outcome).to.equal(passed)
    expect(await runs()).to.equal(1)
  })

  it("runs once if it is a DO", async () => {
    const text = "do $$ begin perform pg_advisory_xact_lock_shared(4711); perform nextval('runs'); end $$"
    expect(await inFlight(changes["leave()"] as Change, (d) => d.query(text))).to.equal(passed)
    expect(await runs()).to.equal(1)
  })

  for (const name of ["enter() in concurrent mode", "leave()", "extend()"]) {
    it(`runs once on TypeORM's replica connection if that is the primary: ${name}`, async () => {
      const { url } = database.current
      const replication = { master: { url }, slaves: [{ url }] }
      const change = changes[name] as Change
      await withMaintenance(url, { url: undefined, replication } as object, async (replicated) => {
        const onReplica = async (dataSource: DataSource) => {
          const runner = dataSource.createQueryRunner("slave")
          try {
            await runner.query(write)
          } finally {
            await runner.release()
          }
        }
        expectOutcome(await inFlight(change, onReplica, replicated), change.writes)
      })
      await expectRun(change)
    })
  }
})

describe("A statement that makes its session discard something", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() =>
    database.current.sql(`
      create sequence runs;
      create function forget() returns void language plpgsql as 'begin execute ''deallocate all''; end';
      create function close_all() returns bigint language plpgsql as
        'begin execute ''close all''; insert into loot values (1); return nextval(''runs''); end';
      create table loot (run int)`),
  )
  beforeEach(() => database.current.sql("alter sequence runs restart"))
  const count = "select nextval('runs')::int as run"

  it("lets the next statement run once, if a function has deallocated the prepared statements", async () => {
    const { dataSource } = installed.current
    await dataSource.query("select 1")
    await dataSource.query("select forget()")
    expect(await dataSource.query(count)).to.deep.equal([{ run: 1 }])
    await dataSource.query("select forget()")
    await dataSource.query("do $$ begin perform nextval('runs'); end $$")
    await dataSource.query("do $$ begin perform nextval('runs'), forget(); end $$")
    expect(await dataSource.query(count)).to.deep.equal([{ run: 4 }])
  })

  it("lets the next named statement run", async () => {
    const { dataSource } = installed.current
    const runner = dataSource.createQueryRunner()
    const client = (await runner.connect()) as { query(query: object): Promise<{ rows: unknown[] }> }
    const named = { name: "count", text: count }
    expect((await client.query(named)).rows).to.deep.equal([{ run: 1 }])
    await runner.query("select forget()")
    await client.query({ name: "other", text: "select 1" })
    expect((await client.query({ name: "other", text: "select 1" })).rows).to.have.length(1)
    await runner.release()
  })

  it("runs twice only the first time if it closes all portals, is stored once, and in a window is vetoed if it wrote", async () => {
    const { dataSource, maintenance } = installed.current
    const stored = async () => (await database.current.sql("select from loot")).length
    const closes = "select close_all()::int as run"
    // The check that was sent along has lost its portal. PostgreSQL undoes the first run, but not its nextval.
    expect(await dataSource.query(closes)).to.deep.equal([{ run: 2 }])
    expect(await stored()).to.equal(1)
    // The statement is known from then on.
    expect(await dataSource.query(closes)).to.deep.equal([{ run: 3 }])
    expect(await stored()).to.equal(2)
    await maintenance.enter("concurrent", { as })
    expect(await errorOf(dataSource.query(closes))).to.be.instanceOf(WriteVetoedError)
    await maintenance.leave({ as })
    expect(await stored()).to.equal(2)
    expect(await dataSource.query(count)).to.deep.equal([{ run: 5 }])
  })

  it("runs once if it is a DO that closes all portals", async () => {
    const { dataSource } = installed.current
    const closes = "do $$ begin execute 'close all'; perform nextval('runs'); end $$"
    await dataSource.query(closes)
    expect(await dataSource.query(count)).to.deep.equal([{ run: 2 }])
    await dataSource.query(closes)
    expect(await dataSource.query(count)).to.deep.equal([{ run: 4 }])
  })
})
