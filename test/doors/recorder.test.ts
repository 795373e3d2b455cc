import { expect } from "chai"
import { newDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Estate, openShop, restock } from "../support/shop"
import type { Site } from "./door"
import { Recorder } from "./recorder"
import { schemaDoors } from "./schema-changes"

/** Settings of the planner under which it reads the catalog in orders of its own. */
const plans = {
  "by indexes": "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off",
  "by whole tables": "-c enable_indexscan=off -c enable_bitmapscan=off -c enable_nestloop=off",
}

describe("What is recorded of plain TypeORM", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  /** What plain TypeORM tells of a change of the schema, under a plan. */
  const transcript = async (name: string, options: string): Promise<string> => {
    const site: Site = {
      sql: (text, values) => database.current.sql(text, values),
      estate: new Estate(),
      name: "",
    }
    const recorder = new Recorder()
    const dataSource = newDataSource(database.current.url, {
      logger: recorder.logger,
      maxQueryExecutionTime: -1,
      extra: { options },
    })
    await restock(site)
    await dataSource.initialize()
    try {
      dataSource.subscribers.push(recorder.subscriber)
      await schemaDoors[name]?.arrange?.(site)
      recorder.take()
      await schemaDoors[name]?.run(dataSource, site)
      return recorder.take().join("\n")
    } finally {
      await dataSource.destroy()
    }
  }

  for (const name of [
    "synchronize",
    "queryRunner.createTable",
    "queryRunner.addColumn",
    "queryRunner.createIndex",
  ]) {
    it(`is the same for ${name}, in whatever order PostgreSQL returns the rows of the catalog`, async () => {
      expect(await transcript(name, plans["by whole tables"])).to.equal(
        await transcript(name, plans["by indexes"]),
      )
    })
  }
})
