import { expect } from "chai"
import { type ClientBase, type QueryConfig, type QueryResult, types } from "pg"
import type { DataSource } from "typeorm"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"

/** A case: queries of the same text, with a change between them. */
type Case = (client: ClientBase, ask: (text: string, rowMode?: "array") => Promise<unknown>) => Promise<void>

const dateType = 1082

function twice(text: string): Case {
  return async (_client, ask) => {
    await ask(text)
    await ask(text)
  }
}

/** Queries before and after a change of the table. */
function aroundChange(alteration: string): Case {
  return async (client, ask) => {
    await ask("select * from shape")
    await client.query(`alter table shape ${alteration}`)
    await ask("select * from shape")
  }
}

const cases: Record<string, Case> = {
  "the same columns each time": twice("select 1 as a, 'x' as b union all select 2, 'y'"),
  "a column with another name": aroundChange("rename first to renamed"),
  "an additional column": aroundChange("add third text default 'new'"),
  "a removed column": aroundChange("drop second"),
  "a column of another type": aroundChange("alter second type int using 7"),
  "rows as arrays, then as objects": async (_client, ask) => {
    await ask("select * from shape")
    await ask("select * from shape", "array")
    await ask("select * from shape")
  },
  "two columns of the same name, and one named __proto__": twice(
    `select 1 as a, 2 as a, 3 as "__proto__", null as b`,
  ),
  "no columns": twice("select from shape"),
  "several statements in one text": twice("select 1 as a; select 2 as b, 3 as a"),
  "a type with a changed parser": async (_client, ask) => {
    const parser = types.getTypeParser(dateType) as (text: string) => unknown
    try {
      await ask("select date '2002-02-22' as day")
      types.setTypeParser(dateType, (text) => `the ${text}`)
      await ask("select date '2002-02-22' as day")
    } finally {
      types.setTypeParser(dateType, parser)
    }
  },
}

/**
 * Everything in the results, including prototypes and the order of the columns, which a deep comparison
 * ignores.
 */
async function answers(dataSource: DataSource, run: Case): Promise<unknown[]> {
  const runner = dataSource.createQueryRunner()
  try {
    const client: ClientBase = await runner.connect()
    await client.query("create table shape (first int, second text)")
    await client.query("insert into shape values (1, 'x'), (2, null)")
    const found: unknown[] = []
    await run(client, async (text, rowMode) => {
      const config: QueryConfig = { text, ...(rowMode && { rowMode }) }
      const answer: QueryResult | QueryResult[] = await client.query(config)
      for (const result of [answer].flat()) {
        // Applications add properties to rows. Other results must not show them.
        for (const row of result.rows) (row as { addedLater?: true }).addedLater = true
        const { rows, fields, rowCount, command } = result
        const columns = fields.map(({ name, dataTypeID, format }) => ({ name, dataTypeID, format }))
        found.push({ keys: Object.keys(result), rows: rows.map(exactly), columns, rowCount, command })
      }
    })
    return found
  } finally {
    await runner.query("drop table if exists shape")
    await runner.release()
  }
}

function exactly(row: object): unknown {
  return { entries: Object.entries(row), prototype: Object.getPrototypeOf(row)?.constructor.name }
}

describe("Rows of a text that is sent again", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)

  for (const [name, run] of Object.entries(cases)) {
    it(`are as in plain TypeORM: ${name}`, async () => {
      const plain = await withPlainDataSource(database.current.url, {}, (dataSource) =>
        answers(dataSource, run),
      )
      expect(plain).to.have.length.above(1)
      expect(await answers(installed.current.dataSource, run)).to.deep.equal(plain)
    })
  }
})
