import { expect } from "chai"
import * as pg from "pg"
import type { DataSource, QueryRunner } from "typeorm"
import { AccessRefusedError } from "../../src"
import { classify } from "../../src/enforcement/statement-kind"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { notWaiting } from "../support/window"

type Query = (query: unknown, values?: unknown[]) => Promise<unknown>

/** Attempts of another user to store rows in concurrent mode through the client of a query runner. */
type Attack = (query: Query, runner: QueryRunner) => Promise<unknown>

const insert = "insert into loot (name) values ('gold')"
const swallow = () => undefined
/** A text without any word that ends a transaction. */
const hiddenCommit = String.raw`do E'begin insert into loot (name) values (\'gold\'); c\x6fmmit; end'`

/** Runs a pg query object. Resolves at its end, rejects with its error. */
function run(query: Query, object: pg.Query): Promise<unknown> {
  return new Promise((resolve, reject) => {
    object.on("end", resolve).on("error", reject)
    void query(object)
  })
}

const attacks: Record<string, Attack> = {
  "a cursor WITH HOLD over a writing function, in a transaction": (_, runner) =>
    runner.manager.transaction((manager) => manager.query("declare c cursor with hold for select take()")),
  "a cursor WITH HOLD over a writing function, alone": (query) =>
    query("declare c cursor with hold for select take()"),
  "a cursor WITH HOLD declared by a function": (query) => query("select declare_cursor()"),
  "a query object that leaves its transaction block": (query) =>
    run(query, new pg.Query(`commit; ${insert}`)),
  "a query object that leaves its transaction block by END": (query) =>
    run(query, new pg.Query(`end; ${insert}`)),
  "a query object that writes": (query) => run(query, new pg.Query(insert)),
  "rows in batches, then an insert": async (query) => {
    await query({ text: "select ';commit'", rows: 1 })
    await query(insert)
  },
  "rows in batches, then a CALL": async (query) => {
    await query({ text: "select $$;commit;$$", rows: 1 })
    await query("call take_and_commit()")
  },
  "a named query object with a COMMIT": async (query) => {
    await query({ name: "c", text: "COMMIT" })
    await query("begin")
    await query(insert)
    await run(query, new pg.Query({ name: "c" } as never))
  },
  "a config object that changes after the call": async (query) => {
    const config = { text: "select 1" }
    const done = [query("begin"), query(insert), query(config)]
    config.text = "commit"
    await Promise.all(done)
  },
  "values that are removed after the call": async (query) => {
    const values = [1]
    const done = [query("begin"), query(insert), query("select 1; commit", values)]
    values.length = 0
    await Promise.all(done)
  },
  "a query object that changes after the call": async (query) => {
    const object = new pg.Query("select 1") as pg.Query & { text: string }
    const done = [query("begin"), query(insert), run(query, object)]
    object.text = "commit"
    await Promise.all(done)
  },
  "a name that is given another meaning": async (query) => {
    await query({ name: "c", text: "BEGIN" })
    await query("rollback")
    await query("deallocate all").catch(swallow)
    await query(`prepare c as ${insert}`)
    await query({ name: "c", text: "BEGIN" })
  },
  "queryMode of one statement, and two": async (query) => {
    await query("begin")
    await query(insert)
    await query({ text: "select 1; commit", queryMode: "extended" })
  },
  "a named text of several statements that starts with BEGIN": (query) =>
    query({ name: "s", text: `begin; ${insert}; commit` }),
  "a named text of several statements that starts with COMMIT": async (query) => {
    await query("begin")
    await query({ name: "s", text: `commit; ${insert}` })
  },
  "a named text of several statements that starts with SET": (query) =>
    query({ name: "s", text: `set work_mem = '1MB'; ${insert}` }),
  "a text that ends a failed transaction and goes on": async (query) => {
    await query("begin")
    await query("select 1 / 0").catch(swallow)
    await query(`commit; ${insert}`)
  },
  "a transaction left open for the maintainer to commit": async (query) => {
    await query("begin")
    await query(insert)
  },
  "a DO block that hides its commit": (query) => query(hiddenCommit),
  "a role and a search_path of its own": async (query) => {
    await query(
      "create schema if not exists fake; create function fake.now() returns text language sql as 'select 1'",
    )
    await query("set search_path = fake, pg_catalog")
    await query(insert)
  },
}

/** Unusual uses of a connection that work in normal mode, and again after a window. */
const nuisances: Record<string, (query: Query) => Promise<unknown>> = {
  "a role that may not use the schema": async (query) => {
    await query("create table if not exists q (i int); set role nobody_special")
    await query("reset role")
  },
  "texts that end a transaction and begin the next": async (query) => {
    await query("begin")
    await query("commit; begin")
    await query("commit; begin")
    await query("commit")
  },
  "a DO block that hides its commit": (query) => query(hiddenCommit),
  "COPY as a text": (query) => query("copy loot from stdin").catch(swallow),
  "COPY as a text, in a transaction": async (query) => {
    await query("begin")
    await query("copy vendor from stdin").catch(swallow)
    await query("rollback")
  },
  "a named COMMIT": async (query) => {
    for (let count = 0; count < 2; count++) {
      await query("begin")
      await query(insert)
      await query({ name: "cm", text: "COMMIT" })
    }
  },
  "a text that ends a failed transaction and begins another": async (query) => {
    await query("begin")
    await query("select 1 / 0").catch(swallow)
    await query("rollback; begin")
    await query("select 1")
    await query("rollback")
  },
  "a pg query object that requests rows in batches": (query) =>
    run(query, new pg.Query({ text: insert, rows: 1 } as never)),
  "rows in batches": async (query) => {
    expect(await query({ text: "select g from generate_series(1, 3) g", rows: 1 })).to.have.property(
      "rowCount",
      3,
    )
    await query("select 1")
  },
}

describe("An attack", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(async () => {
    await database.current.sql(`
      create table loot (name text); create table vendor (name text);
      create role nobody_special;
      create function take() returns int language plpgsql as 'begin ${insert.replaceAll("'", "''")}; return 1; end';
      create function declare_cursor() returns void language plpgsql as
        'begin execute ''declare f cursor with hold for select take()''; end';
      create procedure take_and_commit() language plpgsql as 'begin ${insert.replaceAll("'", "''")}; commit; end'`)
    database.current.beforeDrop(async () => void (await database.current.sql("drop role nobody_special")))
  })
  beforeEach(() => database.current.sql("delete from loot"))

  const onClient = async (
    dataSource: DataSource,
    work: (query: Query, runner: QueryRunner) => Promise<unknown>,
  ) => {
    const runner = dataSource.createQueryRunner()
    const client = (await runner.connect()) as { query: Query }
    try {
      await work((query, values) => client.query(query, values), runner)
    } finally {
      await runner.release()
    }
  }
  const loot = () => database.current.sql("select name from loot")

  for (const [name, attack] of Object.entries(attacks)) {
    it(`by ${name} stores nothing, and leaves nothing for others to commit`, async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      await onClient(dataSource, attack).catch(swallow)
      await maintenance.runAs("alice", () => dataSource.transaction((manager) => manager.query("select 1")))
      const taken = await loot()
      await maintenance.leave({ as: "alice" })
      expect(taken).to.deep.equal([])
    })
  }

  for (const [name, nuisance] of Object.entries(nuisances)) {
    it(`by ${name} blocks neither enter() nor later queries`, async () => {
      const { dataSource, maintenance } = installed.current
      await onClient(dataSource, nuisance).catch(swallow)
      await maintenance.enter("concurrent", { as: "alice" })
      await onClient(dataSource, nuisance).catch(swallow)
      await maintenance.leave({ as: "alice" })
      await withMaintenance(database.current.url, { poolSize: 1 }, async (other) => {
        await onClient(other.dataSource, nuisance)
        await other.dataSource.query(insert)
        expect(await loot()).to.deep.include({ name: "gold" })
      })
    })
  }

  it("by a query object that continues to read is refused once exclusive mode has begun", async () => {
    const { dataSource, maintenance } = installed.current
    const runner = dataSource.createQueryRunner()
    const stream = await runner.stream("select g from generate_series(1, 100000) g")
    const rows: unknown[] = []
    const ended = new Promise((resolve) => {
      stream.on("error", resolve).on("end", () => resolve("all of it"))
    })
    stream.once("data", (row) => {
      rows.push(row)
      stream.pause()
    })
    while (rows.length === 0) await new Promise(setImmediate)
    await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
    stream.on("data", (row) => rows.push(row)).resume()
    expect(await ended).to.be.instanceOf(AccessRefusedError)
    expect(rows.length).to.be.lessThan(1000)
    await runner.release()
    await maintenance.leave({ as: "alice" })
  })

  it("with very long texts takes only linear time to classify", () => {
    const blanks = " ".repeat(2_000_000)
    for (const text of [
      `select '${blanks}x'`,
      `${"\n".repeat(2_000_000)}commit`,
      `rollback${blanks}x y`,
      `/*${"x".repeat(20_000_000)}*/ select 1`,
      `${";".repeat(2_000_000)}x`,
    ]) {
      expect(classify(text, false).kind).to.be.a("string")
    }
  })
})
