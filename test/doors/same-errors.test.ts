import { expect } from "chai"
import type { DataSource } from "typeorm"
import { useMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { openShop } from "../support/shop"
import { onRawClient, type Site } from "./door"
import { outcomeOf } from "./outcome"

const none = {} as Site

describe("Errors that could differ from plain TypeORM", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  const cases: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
    "a parameter in a text without parameters": (d) => d.query("insert into audit (note) values ($1)"),
    "the stack of an error of the raw client, second statement of a transaction": (d) =>
      onRawClient(async (client) => {
        await client.query("begin")
        try {
          return await client.query("select 1 / 0")
        } finally {
          await client.query("rollback")
        }
      })(d, none),
    "values that are not an array": (d) =>
      onRawClient((client) => client.query("insert into audit (note) values ('x')", { note: "x" } as never))(
        d,
        none,
      ),
    "the stack of an error of the raw client": (d) =>
      onRawClient((client) => client.query("select 1 / 0"))(d, none),
  }
  for (const [name, run] of Object.entries(cases)) {
    it(name, async () => {
      const plain = await withPlainDataSource(database.current.url, {}, (d) => outcomeOf(() => run(d)))
      expect(await outcomeOf(() => run(installed.current.dataSource))).to.deep.equal(plain)
    })
  }
})
