import { expect } from "chai"
import { type ClientBase, type Query as PgQuery, Result as PgResult } from "pg"
import type { DataSource } from "typeorm"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"

const pg = require("pg") as { Query: { prototype: { handleRowDescription: unknown } } }
type Fields = { fields: { name: string }[] }

const insert = "insert into loot (name) values ('x')"
const doInsert = `do $$ begin ${insert}; end $$`
/** A value that pg cannot make a text of. */
const circular: { self?: unknown } = {}
circular.self = circular

/** What is done on a client, step by step; a step that fails shows its error. */
type Scenario = (
  ask: (text: string | object, values?: unknown) => Promise<void>,
  client: ClientBase,
) => Promise<void>

const scenarios: Record<string, Scenario> = {
  "the first statement of a transaction, for its values; the rest is rolled back": async (ask) => {
    await ask("begin")
    await ask("select 1", { a: 1 })
    await ask(insert)
    await ask("rollback")
  },
  "the first statement of a transaction, for its name; the rest is rolled back": async (ask) => {
    await ask({ name: "taken", text: "select 1 as one" })
    await ask("begin")
    await ask({ name: "taken", text: "select 2 as two" })
    await ask(insert)
    await ask("rollback")
  },
  "the first statement of a transaction, for a value": async (ask) => {
    await ask("begin")
    await ask("select $1", [circular])
    await ask(insert)
    await ask("commit")
  },
  "a DO, for a value; the next statement is stored": async (ask) => {
    await ask(doInsert, [circular])
    await ask(insert)
  },
  "a BEGIN, for its values; there is no transaction": async (ask) => {
    await ask("begin", "x")
    await ask(insert)
    await ask("rollback")
  },
  "a COMMIT, for its values": async (ask) => {
    await ask("begin")
    await ask("commit", "x")
    await ask(insert)
    await ask("rollback")
  },
}

describe("What pg itself refuses", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(async () => {
    const sql = (text: string) => database.current.sql(text)
    await sql("create table loot (id serial primary key, name text); create role limited")
    await sql("grant all on loot, loot_id_seq to limited")
    database.current.beforeDrop(async () => void (await sql("drop owned by limited; drop role limited")))
  })

  /** What the steps show on a new client, and how many rows are there when it was given back. */
  const shown = async (dataSource: DataSource, scenario: Scenario): Promise<unknown[]> => {
    await database.current.sql("truncate loot")
    const runner = dataSource.createQueryRunner()
    const client = (await runner.connect()) as ClientBase
    const results: unknown[] = []
    const ask = async (text: string | object, values?: unknown) => {
      const asked = client.query(text as string, values as unknown[])
      results.push(await asked.then(({ rows, command }) => ({ rows, command }), String))
    }
    await scenario(ask, client)
    await runner.release()
    return [...results, await database.current.sql("select name from loot")]
  }
  const inBoth = async (scenario: Scenario, options: object = {}) => {
    const plain = await withPlainDataSource(database.current.url, options, (one) => shown(one, scenario))
    return [await shown(installed.current.dataSource, scenario), plain]
  }

  for (const [name, scenario] of Object.entries(scenarios)) {
    it(`${name}: as in plain TypeORM`, async () => {
      const [fenced, plain] = await inBoth(scenario)
      expect(fenced).to.deep.equal(plain)
    })
  }

  it("nothing, where a statement is asked for by the name alone that it was prepared under", async () => {
    const [fenced, plain] = await inBoth(async (ask) => {
      await ask({ name: "known", text: "select 1 as one" })
      await ask({ name: "known" })
    })
    expect(fenced).to.deep.equal(plain)
  })

  it("nothing, where a DO takes another role for itself", async () => {
    const [fenced, plain] = await inBoth(async (ask) => {
      await ask(`do $$ begin set local role limited; ${insert}; end $$`)
      await ask("select current_user")
    })
    expect(fenced).to.deep.equal(plain)
  })

  it("a DO that it gave up waiting for, and that fails later, leaves nothing for the next statement", async () => {
    const { dataSource } = installed.current
    const fenced = await shown(dataSource, async (ask) => {
      await ask({ text: "do $$ begin perform pg_sleep(0.2); raise 'late'; end $$", query_timeout: 50 })
      await ask(insert)
    })
    expect(fenced.slice(1)).to.deep.equal([{ rows: [], command: "INSERT" }, [{ name: "x" }]])
  })

  for (const [what, prototype, method] of [
    ["how a query takes the description of rows", pg.Query.prototype, "handleRowDescription"],
    ["how a result does", (PgResult as unknown as { prototype: object }).prototype, "addFields"],
  ] as const) {
    it(`nothing, where the application has taught pg other names (${what})`, async () => {
      const host = prototype as Record<string, (argument: unknown) => unknown>
      const original = host[method] as (argument: unknown) => unknown
      const renamed = (fields: Fields["fields"]) =>
        fields.map((field) => (field.name === method ? { ...field, name: `my_${method}` } : field))
      host[method] = function (this: PgQuery, argument: unknown) {
        const isMessage = !Array.isArray(argument)
        const fields = renamed(isMessage ? (argument as Fields).fields : (argument as Fields["fields"]))
        return original.call(this, isMessage ? { ...(argument as Fields), fields } : fields)
      }
      try {
        const text = `select 1 as "${method}"`
        const [fenced, plain] = await inBoth(async (ask) => {
          await ask(text)
          await ask(text)
        })
        expect(fenced).to.deep.equal(plain)
        expect(plain?.[0]).to.deep.include({ rows: [{ [`my_${method}`]: 1 }] })
      } finally {
        host[method] = original
      }
    })
  }
})
