import { expect } from "chai"
import type { EntitySubscriberInterface } from "typeorm"
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

/** Schema changes for which TypeORM reads the catalog. */
const names = ["synchronize", "queryRunner.createTable", "queryRunner.addColumn", "queryRunner.createIndex"]

describe("The record of plain TypeORM", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  /** The record of a schema change under a plan, and its queries with their rows as they came. */
  const transcript = async (name: string, options: string): Promise<{ record: string; raw: string }> => {
    const site: Site = {
      sql: (text, values) => database.current.sql(text, values),
      estate: new Estate(),
      name: "",
    }
    const recorder = new Recorder()
    const raw: unknown[] = []
    const unsorted: EntitySubscriberInterface = {
      afterQuery: ({ query, rawResults }) => {
        raw.push([query, (rawResults as { rows?: unknown } | undefined)?.rows])
      },
    }
    const dataSource = newDataSource(database.current.url, {
      logger: recorder.logger,
      maxQueryExecutionTime: -1,
      extra: { options },
    })
    await restock(site)
    await dataSource.initialize()
    try {
      dataSource.subscribers.push(recorder.subscriber, unsorted)
      await schemaDoors[name]?.arrange?.(site)
      recorder.take()
      raw.splice(0)
      await schemaDoors[name]?.run(dataSource, site)
      return { record: recorder.take().join("\n"), raw: JSON.stringify(raw) }
    } finally {
      await dataSource.destroy()
    }
  }

  for (const name of names) {
    it(`is the same for ${name}, regardless of the order in which PostgreSQL returns the catalog`, async () => {
      const byTables = await transcript(name, plans["by whole tables"])
      expect(byTables.record).to.equal((await transcript(name, plans["by indexes"])).record)
    })
  }

  it("would differ for some of them if it were not sorted", async () => {
    const differing: string[] = []
    for (const name of names) {
      const byTables = await transcript(name, plans["by whole tables"])
      if (byTables.raw !== (await transcript(name, plans["by indexes"])).raw) differing.push(name)
    }
    expect(differing).to.not.have.length(0)
  })
})
