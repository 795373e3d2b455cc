import { expect } from "chai"
import * as pg from "pg"
import { to as copyTo } from "pg-copy-streams"
import Cursor from "pg-cursor"
import type { DataSource } from "typeorm"
import { useMaintenance, withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { openShop } from "../support/shop"
import { onRawClient, type RawClient, rowsOf, type Site, withRunner } from "./door"
import { outcomeOf } from "./outcome"

const none = {} as Site

/** Runs a pg query object alone. Resolves with its rows. */
function submitted(client: RawClient, query: pg.Query): Promise<unknown> {
  return new Promise((resolve, reject) => {
    query.on("end", ({ rows }: pg.QueryResult) => resolve(rows)).on("error", reject)
    client.query(query as never)
  })
}

/** The error or the result of each attempt. */
async function each(...attempts: (() => Promise<unknown>)[]): Promise<unknown[]> {
  const shown: unknown[] = []
  for (const attempt of attempts) shown.push(await attempt().catch((error: unknown) => error))
  return shown
}

/** Ways to run a text with a query object. */
const ways: Record<string, (dataSource: DataSource, text: string) => Promise<unknown>> = {
  "a stream": (d, text) => withRunner(d, async (runner) => rowsOf(await runner.stream(text))),
  "a stream in a transaction": (d, text) =>
    d.transaction(async ({ queryRunner }) => rowsOf((await queryRunner?.stream(text)) as never)),
  "a cursor": (d, text) =>
    onRawClient(async (client) => {
      const cursor = client.query(new Cursor(text))
      const [rows] = await each(() => cursor.read(2))
      return [rows, await client.query("select 1 as one")]
    })(d, none),
  "pg's own Query": (d, text) => onRawClient((client) => submitted(client, new pg.Query(text)))(d, none),
  "pg's own Query with values": (d, text) =>
    onRawClient((client) => submitted(client, new pg.Query(`${text} where $1 = 1`, [1])))(d, none),
  "COPY TO": (d, text) =>
    onRawClient(async (client) => (await rowsOf(client.query(copyTo(`copy (${text}) to stdout`)))).length)(
      d,
      none,
    ),
}

/** Statements that PostgreSQL rejects, by SQLSTATE. Some of the codes are also those of a missing schema. */
const errors: Record<string, string> = {
  "42703": "select nope from item",
  "42P01": "select 1 from nope",
  "42883": "select nope() from item",
  "3F000": "select nope.nope() from item",
  "42704": "select 1::nope from item",
  "42804": "select case when true then 1 else now() end from item",
  "42601": "select from from item",
  "22012": "select 1 / (id - id) from item",
}

describe("A query object", () => {
  const { stackTraceLimit } = Error
  // The plugin adds its own stack frames.
  before(() => void (Error.stackTraceLimit = 50))
  after(() => void (Error.stackTraceLimit = stackTraceLimit))
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(async () => {
    await openShop(database.current)
    await database.current.sql(`
      create table late (id int);
      create function fail_late() returns trigger language plpgsql as 'begin perform 1 from nope; return null; end';
      create constraint trigger fail_late after insert on late deferrable initially deferred
        for each row execute function fail_late()`)
  })

  const inBoth = async (run: (dataSource: DataSource) => Promise<unknown>) => [
    await outcomeOf(() => run(installed.current.dataSource)),
    await withPlainDataSource(database.current.url, {}, (plain) => outcomeOf(() => run(plain))),
  ]

  for (const [way, run] of Object.entries(ways))
    for (const [code, text] of Object.entries(errors)) {
      it(`reports its own error ${code} as in plain TypeORM: ${way}`, async () => {
        const [fenced, plain] = await inBoth((dataSource) => run(dataSource, text))
        expect(fenced).to.deep.equal(plain)
      })
    }

  it("reports its own error in concurrent mode, too", async () => {
    const { maintenance, dataSource } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const outcome = await outcomeOf(() =>
      withRunner(dataSource, async (runner) => rowsOf(await runner.stream("select nope from item"))),
    )
    await maintenance.leave({ as: "alice" })
    expect(outcome.refusedBy).to.equal("DatabaseError")
    expect(outcome.shown).to.include("  code: '42703',")
  })

  for (const text of ["deallocate all; begin", "deallocate all", "discard all", "begin; deallocate all"]) {
    it(`lets the session go on after it has dropped all prepared statements: ${text}`, async () => {
      const insert = "insert into category (name) values ('after')"
      const [fenced, plain] = await inBoth((dataSource) =>
        onRawClient(async (client) => {
          // Prepares the check.
          await client.query(insert)
          await submitted(client, new pg.Query(text))
          await client.query(insert)
          return ((await client.query("commit")) as pg.QueryResult).command
        })(dataSource, none),
      )
      expect(fenced).to.deep.equal(plain)
    })
  }

  // Plain pg-cursor (2.22) ignores an error that follows the completion of its statement, and never ends.
  for (const text of [
    "insert into late values (1)",
    "declare held cursor with hold for select 1 / (random() * 0)::int",
  ]) {
    it(`reports an error of the commit to a stream and to a cursor: ${text}`, async () => {
      const { dataSource } = installed.current
      const code = text.startsWith("insert") ? "42P01" : "22012"
      for (const way of ["a stream", "a cursor"]) {
        const run = ways[way] as (dataSource: DataSource, text: string) => Promise<unknown>
        const told = await run(dataSource, text).catch((error: unknown) => error)
        // A cursor's reads are reported one by one.
        expect(way === "a cursor" ? (told as unknown[])[0] : told).to.have.property("code", code)
      }
      expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
    })
  }

  it("reports the error of a deferred trigger at its end", async () => {
    const [fenced, plain] = await inBoth((dataSource) =>
      onRawClient((client) => submitted(client, new pg.Query("insert into late values (1)")))(
        dataSource,
        none,
      ),
    )
    expect(fenced).to.deep.equal(plain)
  })

  it("can use a name again that has failed once", async () => {
    const named = (client: RawClient, text: string) => () =>
      submitted(client, new pg.Query({ name: "named", text }))
    const [fenced, plain] = await inBoth(
      onRawClient(async (client) => {
        const first = await each(named(client, "select id from planned"))
        await client.query("create table if not exists planned as select 7 as id")
        return [
          first,
          ...(await each(named(client, "select id from planned"), named(client, "select id from planned"))),
          // For pg, the name is taken.
          ...(await each(named(client, "select 2"))).map(String),
          await client.query("drop table planned"),
        ]
      }) as never,
    )
    expect(fenced).to.deep.equal(plain)
  })

  it("leaves its connection usable if pg refuses to send it", async () => {
    const [fenced, plain] = await inBoth(
      onRawClient(async (client) => [
        // In plain TypeORM the stack is shorter, and so shows more callers.
        ...(await each(() => submitted(client, new pg.Query("select 1", 5 as never)))).map(String),
        await client.query("select 1 as one"),
      ]) as never,
    )
    expect(fenced).to.deep.equal(plain)
  })

  it("reads values with the parsers of its client", async () => {
    const point = 600
    const types = {
      getTypeParser: (type: number, format: "text") =>
        type === point ? (value: string) => `<${value}>` : pg.types.getTypeParser(type, format),
    }
    const options = { extra: { types } }
    const read = (dataSource: DataSource) =>
      withRunner(dataSource, async (runner) => [
        await rowsOf(await runner.stream("select point '(1,2)' as one")),
        await submitted((await runner.connect()) as RawClient, new pg.Query("select point '(3,4)' as two")),
      ])
    const { url } = database.current
    const plain = await withPlainDataSource(url, options, read)
    const fenced = await withMaintenance(url, options, ({ dataSource }) => read(dataSource))
    expect(fenced).to.deep.equal(plain)
    expect(plain).to.deep.equal([[{ one: "<(1,2)>" }], [{ two: "<(3,4)>" }]])
  })
})

describe("A named statement", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)

  it("can be the first of a transaction, even if the session has discarded the prepared BEGIN", async () => {
    const { dataSource } = installed.current
    const named = { name: "named", text: "select 1 as one" }
    await withRunner(dataSource, async (runner) => {
      const client = (await runner.connect()) as RawClient
      await client.query("begin")
      await client.query("select 1")
      await client.query("commit")
      // In a form that the plugin cannot recognize.
      await client.query("do $$ begin execute 'deallo' || 'cate all'; end $$")
      await client.query("begin")
      expect(await client.query(named)).to.deep.include({ rows: [{ one: 1 }] })
      await client.query("commit")
      expect(await client.query(named)).to.deep.include({ rows: [{ one: 1 }] })
    })
  })
})
