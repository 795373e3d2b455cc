import { expect } from "chai"
import { newDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Estate, openShop, restock } from "../support/shop"
import type { Site } from "./door"
import { Recorder } from "./recorder"
import { schemaDoors } from "./schema-changes"

/** Planner settings that change the order in which the catalog is read. */
const plans = {
  "by indexes": "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off",
  "by whole tables": "-c enable_indexscan=off -c enable_bitmapscan=off -c enable_nestloop=off",
}

describe("The record of plain TypeORM", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  /** The record of a schema change, under a plan. */
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
    it(`is the same for ${name}, regardless of the order in which PostgreSQL returns the catalog`, async () => {
      expect(await transcript(name, plans["by whole tables"])).to.equal(
        await transcript(name, plans["by indexes"]),
      )
    })
  }
})
