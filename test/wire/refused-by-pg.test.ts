import { expect } from "chai"
import { type ClientBase, type Query as PgQuery, Result as PgResult } from "pg"
import type { DataSource } from "typeorm"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"

const pg = require("pg") as { Query: { prototype: { handleRowDescription: unknown } } }
type Fields = { fields: { name: string }[] }

const insert = "insert into loot (name) values ('x')"
const doInsert = `do $$ begin ${insert}; end $$`
/** A value that pg cannot serialize. */
const circular: { self?: unknown } = {}
circular.self = circular

/** Steps on a client. A failing step returns its error. */
type Scenario = (
  ask: (text: string | object, values?: unknown) => Promise<void>,
  client: ClientBase,
) => Promise<void>

const scenarios: Record<string, Scenario> = {
  "the first statement of a transaction, because of its values; the rest is rolled back": async (ask) => {
    await ask("begin")
    await ask("select 1", { a: 1 })
    await ask(insert)
    await ask("rollback")
  },
  "the first statement of a transaction, because of its name; the rest is rolled back": async (ask) => {
    await ask({ name: "taken", text: "select 1 as one" })
    await ask("begin")
    await ask({ name: "taken", text: "select 2 as two" })
    await ask(insert)
    await ask("rollback")
  },
  "the first statement of a transaction, because of a value": async (ask) => {
    await ask("begin")
    await ask("select $1", [circular])
    await ask(insert)
    await ask("commit")
  },
  "a DO, because of a value; the next statement is stored": async (ask) => {
    await ask(doInsert, [circular])
    await ask(insert)
  },
  "a BEGIN, because of its values; there is no transaction": async (ask) => {
    await ask("begin", "x")
    await ask(insert)
    await ask("rollback")
  },
  "a COMMIT, because of its values": async (ask) => {
    await ask("begin")
    await ask("commit", "x")
    await ask(insert)
    await ask("rollback")
  },
}

describe("A statement that pg itself refuses, or runs in an unusual way,", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(async () => {
    const sql = (text: string) => database.current.sql(text)
    await sql("create table loot (id serial primary key, name text); create role limited")
    await sql("grant all on loot, loot_id_seq to limited")
    database.current.beforeDrop(async () => void (await sql("drop owned by limited; drop role limited")))
  })

  /** The outcomes of the steps on a new client, and the number of rows after its release. */
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
    it(`behaves as in plain TypeORM: ${name}`, async () => {
      const [fenced, plain] = await inBoth(scenario)
      expect(fenced).to.deep.equal(plain)
    })
  }

  it("behaves as in plain TypeORM if it is run by the name alone of a prepared statement", async () => {
    const [fenced, plain] = await inBoth(async (ask) => {
      await ask({ name: "known", text: "select 1 as one" })
      await ask({ name: "known" })
    })
    expect(fenced).to.deep.equal(plain)
  })

  it("behaves as in plain TypeORM if it is a DO that sets another role", async () => {
    const [fenced, plain] = await inBoth(async (ask) => {
      await ask(`do $$ begin set local role limited; ${insert}; end $$`)
      await ask("select current_user")
    })
    expect(fenced).to.deep.equal(plain)
  })

  it("leaves no effect on the next statement if it is a DO that fails after its timeout", async () => {
    const { dataSource } = installed.current
    const fenced = await shown(dataSource, async (ask) => {
      await ask({ text: "do $$ begin perform pg_sleep(0.2); raise 'late'; end $$", query_timeout: 50 })
      await ask(insert)
    })
    expect(fenced.slice(1)).to.deep.equal([{ rows: [], command: "INSERT" }, [{ name: "x" }]])
  })

  for (const [what, prototype, method] of [
    ["in the row description of queries", pg.Query.prototype, "handleRowDescription"],
    ["in the fields of results", (PgResult as unknown as { prototype: object }).prototype, "addFields"],
  ] as const) {
    it(`behaves as in plain TypeORM if the application has patched column names ${what}`, async () => {
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
