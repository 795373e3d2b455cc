import { expect } from "chai"
import type { DataSource } from "typeorm"
import { WriteVetoedError } from "../../src"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { inventory, stock } from "../support/inventory"
import { nothingStray, stray } from "../support/pool"
import { openShop, restock } from "../support/shop"
import { outcomeOf } from "../doors/outcome"

const many = (count: number) => ({
  text: `insert into audit (note) select count(*)::text from (values ${Array.from(
    { length: count },
    (_, index) => `($${index + 1}::text)`,
  ).join()}) given`,
  values: Array.from({ length: count }, (_, index) => `${index}`),
})

/** A text with its parameters, and whether it fails in plain TypeORM. */
interface Case {
  readonly text: string
  readonly values?: unknown
  readonly fails?: true
}

const cases: Record<string, Case> = {
  "a null": { text: "insert into audit (note) values ($1)", values: [null] },
  "an undefined": { text: "insert into audit (note) values ($1)", values: [undefined] },
  "null for all parameters": { text: "insert into audit (note) values ('x')", values: null },
  "undefined for all parameters": { text: "insert into audit (note) values ('x')", values: undefined },
  "no parameters": { text: "insert into audit (note) values ('x')", values: [] },
  "65,535 parameters": many(65_535),
  "65,536 parameters": { ...many(65_536), fails: true },
  "too few parameters": { text: "insert into audit (note) values ($1 || $2)", values: ["x"], fails: true },
  "too many parameters": { text: "insert into audit (note) values ('x')", values: [1], fails: true },
  "a parameter of 1 MB": { text: "insert into audit (note) values ($1)", values: ["x".repeat(1_000_000)] },
  "a text of 1 MB": { text: `insert into audit (note) values ('${"x".repeat(1_000_000)}')` },
  "a text of 1 MB and a parameter": {
    text: `insert into audit (note) values ('${"x".repeat(1_000_000)}' || $1)`,
    values: ["y"],
  },
  "an empty string": { text: "insert into audit (note) values ($1)", values: [""] },
  "a number, a boolean, a date and bytes": {
    text: "insert into audit (note) select concat_ws(' ', $1::int, $2::bool, $3::timestamptz, $4::bytea)",
    values: [1, true, new Date(0), Buffer.from([0, 255])],
  },
  "arrays and objects": {
    text: "insert into audit (note) select concat_ws(' ', $1::text[], $2::jsonb)",
    values: [["a", null, '"'], { a: [1, { b: null }] }],
  },
  "an object with toPostgres": {
    text: "insert into audit (note) values ($1)",
    values: [{ toPostgres: () => "by itself" }],
  },
  "a null character": { text: "insert into audit (note) values ($1)", values: ["a\0b"], fails: true },
  "a lone surrogate": { text: "insert into audit (note) values ($1)", values: ["\ud83d"] },
  "an emoji": { text: "insert into audit (note) values ($1) returning note", values: ["🚧; commit"] },
  "a bigint": { text: "insert into audit (note) values ($1)", values: [2n ** 63n] },
  "an empty text": { text: "", fails: true },
  "a text of comments only": { text: "/* nothing */ -- at all", fails: true },
}

describe("Unusual parameters and texts", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  beforeEach(() => restock(database.current))

  for (const [name, { text, values, fails }] of Object.entries(cases)) {
    const run = (dataSource: DataSource) => outcomeOf(() => dataSource.query(text, values as unknown[]))

    it(`behave as in plain TypeORM, and store nothing in concurrent mode: ${name}`, async () => {
      const before = await inventory(database.current)
      const plain = await withPlainDataSource(database.current.url, {}, run)
      const { things } = await inventory(database.current)
      if (fails) expect(things).to.deep.equal(before.things)
      else expect(things).not.to.deep.equal(before.things)
      await restock(database.current)

      const { dataSource, maintenance } = installed.current
      expect(await run(dataSource)).to.deep.equal(plain)
      expect((await inventory(database.current)).things).to.deep.equal(things)

      await restock(database.current)
      await maintenance.enter("concurrent", { as: "alice" })
      const untouched = stock(await inventory(database.current))
      const refused = await run(dataSource)
      const afterwards = stock(await inventory(database.current))
      await maintenance.leave({ as: "alice" })
      if (fails) expect(refused).to.deep.equal(plain)
      else expect(refused.refusedBy).to.equal(WriteVetoedError.name)
      expect(afterwards).to.equal(untouched)
      expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    })
  }
})
