import { expect } from "chai"
import { withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import type { causes } from "../support/failing-start"
import { runScript } from "../support/run-script"
import { until } from "../support/until"

const codes: Record<keyof typeof causes, string> = {
  "currentUser returns a promise": "MAINTENANCE_SETUP",
  "currentUser returns no number": "MAINTENANCE_SETUP",
  "currentUser throws": "MAINTENANCE_SETUP",
  "there is no schema": "MAINTENANCE_SETUP",
  "the schema belongs to something else": "MAINTENANCE_SETUP",
  "an entity has no primary key": "MissingPrimaryColumnError",
  "the mode forbids synchronize": "MAINTENANCE_ACCESS_REFUSED",
}

describe("A DataSource that fails to initialize", () => {
  const database = useDatabase()
  before(async () => {
    await database.current.sql("create schema garden; create table garden.visit (id int)")
    await withMaintenance(database.current.url, {}, ({ maintenance }) =>
      maintenance.enter("exclusive", { as: "alice" }),
    )
  })

  for (const [cause, code] of Object.entries(codes)) {
    it(`leaves neither a connection nor anything else that keeps its process alive, if ${cause}`, async () => {
      const ended = await runScript("failing-start", database.current.url, cause)
      expect(ended).to.deep.equal({ message: code, code: 0 })
      const own =
        "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
      await until(async () => (await database.current.sql(own)).length === 0)
    })
  }
})
