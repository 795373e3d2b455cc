import { finished } from "node:stream/promises"
import { expect } from "chai"
import * as pg from "pg"
import { to as copyTo } from "pg-copy-streams"
import Cursor from "pg-cursor"
import QueryStream from "pg-query-stream"
import type { DataSource } from "typeorm"
import { WriteVetoedError } from "../../src"
import { withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { until } from "../support/until"

type Client = Pick<pg.Client, "query">

/** Runs on one connection. An open transaction is rolled back at the end. */
async function onClient(
  dataSource: DataSource,
  work: (client: Client) => Promise<unknown>,
  mode: "master" | "slave" = "master",
): Promise<unknown> {
  const runner = dataSource.createQueryRunner(mode)
  try {
    return await work((await runner.connect()) as Client)
  } finally {
    await runner.release()
  }
}

const texts =
  (...all: string[]) =>
  async (client: Client) => {
    let result: unknown
    for (const text of all) result = await client.query(text)
    return result
  }

/** Runs a pg query object. Resolves with the result passed to its callback. */
const submitted = (text: string) => (client: Client) =>
  new Promise((resolve, reject) => {
    const query = new pg.Query(text) as pg.Query & { callback: unknown }
    query.callback = (error: Error | null, result: unknown) => (error ? reject(error) : resolve(result))
    client.query(query)
  })

const copied = (text: string) => async (client: Client) => {
  const stream = client.query(copyTo(text) as never) as unknown as NodeJS.ReadableStream
  stream.resume()
  await finished(stream)
}

/** Reads a pg-cursor to its end. */
const portioned = (text: string) => async (client: Client) => {
  const portions = client.query(new Cursor(text))
  try {
    await until(async () => (await portions.read(10)).length === 0)
  } finally {
    await portions.close()
  }
}

const streamed = (text: string) => async (client: Client) => {
  const stream = client.query(new QueryStream(text))
  stream.resume()
  await finished(stream)
}

const cursor = (reads: string) => `declare h cursor with hold for select ${reads}`
const lob = "lo_from_bytea(0, 'gold')"

/** Writes that run during the COMMIT, or that READ ONLY lets pass. */
const doors: Record<string, (client: Client) => Promise<unknown>> = {
  "a cursor WITH HOLD, alone": texts(cursor("take()")),
  "a cursor WITH HOLD in a transaction": texts("begin", cursor("take()"), "commit"),
  "a cursor WITH HOLD in a savepoint": texts("begin", "savepoint a", cursor("take()"), "commit"),
  "a cursor WITH HOLD in a savepoint of a savepoint": texts(
    "begin",
    "savepoint a",
    "savepoint b",
    cursor("take()"),
    "release b",
    "commit",
  ),
  "a cursor WITH HOLD in a savepoint, in one text": texts(`begin; savepoint a; ${cursor("take()")}; commit`),
  "a cursor WITH HOLD in a savepoint, in a text without an end": texts(`savepoint a; ${cursor("take()")}`),
  "a cursor WITH HOLD declared by a function": texts("select declare_cursor()"),
  "a cursor WITH HOLD declared by a function, in a savepoint": texts(
    "begin",
    "savepoint a",
    "select declare_cursor()",
    "commit",
  ),
  "a cursor WITH HOLD by a query object": submitted(cursor("take()")),
  "a cursor WITH HOLD by pg-cursor": portioned(cursor("take()")),
  "a cursor WITH HOLD by pg-query-stream": streamed(cursor("take()")),
  "a procedure by pg-cursor": portioned("call take_object()"),
  "a procedure by pg-query-stream": streamed("call take_object()"),
  "a cursor WITH HOLD over a large object": texts(cursor(lob)),
  "a procedure by a query object": submitted("call take_object()"),
  "a DO by a query object": submitted(`do $$ begin perform ${lob}; end $$`),
  "COPY TO STDOUT of a writing expression": copied(`copy (select ${lob}) to stdout`),
  "COPY TO STDOUT of a writing function": copied("copy (select take()) to stdout"),
  "ANALYZE by a query object": submitted("analyze loot"),
  "REINDEX by a query object": submitted("reindex table loot"),
  "CLUSTER by a query object": submitted("cluster loot using loot_name"),
  "a replication origin": texts("select pg_replication_origin_create('gold')"),
  "a replication origin by a query object": submitted("select pg_replication_origin_create('gold')"),
  "a replication origin by a procedure": submitted("call take_origin()"),
}

describe("A statement that writes during the COMMIT, or that READ ONLY lets pass,", () => {
  const database = useDatabase()
  before(() =>
    database.current.sql(`
      create table loot (name text); create index loot_name on loot (name); insert into loot values ('silver');
      create function take() returns int language plpgsql as 'begin insert into loot values (''gold''); return 1; end';
      create function declare_cursor() returns void language plpgsql as
        'begin execute ''declare f cursor with hold for select take()''; end';
      create procedure take_object() language plpgsql as 'begin perform lo_from_bytea(0, ''gold''); end';
      create procedure take_origin() language plpgsql as 'begin perform pg_replication_origin_create(''gold''); end'`),
  )
  const replicated = () => {
    const { url } = database.current
    return { url: undefined, replication: { master: { url }, slaves: [{ url }] } } as object
  }
  /** Everything that the doors may change. */
  const stored = async () =>
    (
      await database.current.sql(`
        select (select count(*)::int from loot) as loot, (select count(*)::int from pg_largeobject_metadata) as objects,
          (select count(*)::int from pg_statistic where starelid = 'loot'::regclass) as statistics,
          (select count(*)::int from pg_replication_origin) as origins,
          pg_relation_filenode('loot') as file, pg_relation_filenode('loot_name') as index_file`)
    )[0]

  for (const [name, door] of Object.entries(doors)) {
    for (const mode of ["master", "slave"] as const) {
      it(`stores nothing in a window and is vetoed: ${name}${mode === "slave" ? ", on a replica that is the primary" : ""}`, async () => {
        await withMaintenance(
          database.current.url,
          { ...(mode === "slave" ? replicated() : {}), poolSize: 1 },
          async ({ dataSource, maintenance }) => {
            await maintenance.enter("concurrent", { as: "alice" })
            const before = await stored()
            const refusal = await errorOf(onClient(dataSource, door, mode))
            expect(await stored()).to.deep.equal(before)
            expect(refusal).to.be.instanceOf(WriteVetoedError)
            await maintenance.runAs("alice", () => dataSource.query("select 1"))
            expect(await stored()).to.deep.equal(before)
            await maintenance.leave({ as: "alice" })
          },
        )
      })
    }
  }

  it("succeeds through pg-cursor and pg-query-stream if it only reads", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      await onClient(dataSource, async (client) => {
        await client.query("prepare reading (int) as select $1 as one")
        const plan = client.query(new Cursor("explain (costs off) select 1"))
        expect(await plan.read(1)).to.deep.equal([{ "QUERY PLAN": "Result" }])
        expect(await plan.read(10)).to.deep.equal([])
        await plan.close()
        const rows: unknown[] = []
        for await (const row of client.query(new QueryStream("execute reading(1)"))) rows.push(row)
        expect(rows).to.deep.equal([{ one: 1 }])
      })
      await maintenance.leave({ as: "alice" })
    })
  })

  it("gets a veto that explains the reason if it is a cursor WITH HOLD, even a reading one", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const runner = dataSource.createQueryRunner()
      await runner.startTransaction()
      await runner.query(cursor("name from loot"))
      const refusal = (await errorOf(runner.commitTransaction())) as WriteVetoedError
      expect(refusal).to.be.instanceOf(WriteVetoedError)
      expect(refusal.message).to.include("COMMIT runs a cursor WITH HOLD after the last check")
      await runner.release()
      await maintenance.leave({ as: "alice" })
    })
  })

  it("does not prevent later reads if its cursor was held before the window", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      const runner = dataSource.createQueryRunner()
      await runner.query(cursor("name from loot"))
      await maintenance.enter("concurrent", { as: "alice" })
      expect(await runner.query("fetch all h")).to.deep.equal([{ name: "silver" }])
      expect(await runner.query("select name from loot")).to.deep.equal([{ name: "silver" }])
      await runner.startTransaction()
      expect(await runner.query("select name from loot")).to.deep.equal([{ name: "silver" }])
      await runner.commitTransaction()
      await runner.release()
      await maintenance.leave({ as: "alice" })
    })
  })

  it("is allowed for the maintainer", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      await maintenance.during("concurrent", { as: "alice" }, async () => {
        const before = (await stored()) as { loot: number; objects: number }
        await onClient(dataSource, doors["a cursor WITH HOLD in a savepoint"] as never)
        await onClient(dataSource, doors["a procedure by a query object"] as never)
        expect(await stored()).to.include({ loot: before.loot + 1, objects: before.objects + 1 })
      })
    })
  })

  it("does not report success before its veto: COPY TO STDOUT", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const ends: string[] = []
      await onClient(dataSource, async (client) => {
        const stream = client.query(
          copyTo("copy (select pg_replication_origin_create('x')) to stdout") as never,
        ) as unknown as NodeJS.ReadableStream
        stream.on("end", () => ends.push("end")).on("error", () => ends.push("error"))
        await finished(stream.resume()).catch(() => undefined)
      })
      expect(ends).to.deep.equal(["error"])
      await maintenance.leave({ as: "alice" })
    })
  })
})
