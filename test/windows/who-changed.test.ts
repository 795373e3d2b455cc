import { expect } from "chai"
import { hostname } from "node:os"
import { withMaintenance } from "../support/data-source"
import { type TestDatabase, useFreshDatabase, withClient } from "../support/database"
import { enterSql } from "../support/enter-sql"

interface Change {
  readonly kind: string
  readonly made_by: string | null
  readonly is_emergency: boolean | null
  readonly instance: number | null
  readonly host: string | null
  readonly pid: number
  readonly database_user: string
  readonly application: string
}

describe("Each recorded change of a window", () => {
  let database: TestDatabase
  useFreshDatabase((created) => (database = created))
  const changes = () =>
    database.sql<Change>(
      "select kind, made_by, is_emergency, instance, host, pid, database_user, application from maintenance.change order by at",
    )

  it("includes its user, instance, host, process, database user and application name", async () => {
    await withMaintenance(database.url, {}, async ({ maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.extend({ as: "break-glass", expiresInMs: 60_000 })
      await maintenance.transfer({ as: "alice", to: "bob" })
      await maintenance.during("exclusive", { as: "bob" }, () => undefined)
      await maintenance.leave({ as: "break-glass" })
      const [instance] = (await maintenance.status()).instances
      const [{ user } = { user: "" }] = await database.sql<{ user: string }>(
        "select session_user::text as user",
      )
      const here = {
        instance: instance?.id,
        host: hostname(),
        pid: process.pid,
        database_user: user,
        application: "typeorm-maintenance-mode",
      }
      expect(await changes()).to.deep.equal(
        [
          { kind: "entered", made_by: "alice", is_emergency: false },
          { kind: "extended", made_by: "break-glass", is_emergency: true },
          { kind: "handed over", made_by: "alice", is_emergency: false },
          { kind: "entered", made_by: "bob", is_emergency: false },
          { kind: "left", made_by: "bob", is_emergency: false },
          { kind: "left", made_by: "break-glass", is_emergency: true },
        ].map((change) => ({ ...change, ...here })),
      )
    })
  })

  it("includes the host and backend of the session if it was made by hand", async () => {
    await withMaintenance(database.url, {}, () => Promise.resolve())
    const backend = await withClient(database.url, async (client) => {
      await client.query("set application_name = 'psql of the operator'")
      await client.query("select maintenance.enter('exclusive', 'alice', false, 'by hand')")
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
      return rows[0]
    })
    const [{ user } = { user: "" }] = await database.sql<{ user: string }>(
      "select session_user::text as user",
    )
    expect(await changes()).to.deep.include.members([
      {
        ...{ kind: "entered", made_by: "alice", is_emergency: false, instance: null, host: "127.0.0.1" },
        ...{ pid: backend?.pid, database_user: user, application: "psql of the operator" },
      },
    ])
    await database.sql("select maintenance.leave('alice', false)")
  })

  it("names the user whose task ends, even beneath the window of another user", async () => {
    await withMaintenance(database.url, {}, () => Promise.resolve())
    await database.sql(enterSql({ id: "a", mode: "concurrent", acting_user: "alice", task: "t" }))
    await database.sql(
      enterSql({ id: "b", mode: "exclusive", acting_user: "root", is_emergency: true, task: "u" }),
    )
    expect(await database.sql("select maintenance.finish('t') as epoch")).to.deep.equal([{ epoch: null }])
    const end = "select made_by, window_id, epoch from maintenance.change where name = 'end of t'"
    expect(await database.sql(end)).to.deep.equal([{ made_by: "alice", window_id: "a", epoch: null }])
    expect(
      await database.sql(
        "select id, ended_because, ended_by from maintenance.window where position = 'over'",
      ),
    ).to.deep.equal([{ id: "a", ended_because: "taken over", ended_by: "root" }])
    await database.sql("select maintenance.finish('u')")
  })
})
