import { expect } from "chai"
import type { Client } from "pg"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"

/** A change to a window that alice has entered, and the resulting end in its row. */
interface End {
  readonly name: string
  readonly sql: string
  readonly because: string | null
  readonly by?: string
  readonly next?: readonly [mode: string, maintainer: string]
}

const over = (as: string, more = "") =>
  `select maintenance.start_entering(jsonb_build_object('id', 'over', 'mode', 'exclusive', 'acting_user', '${as}',
    'is_emergency', ${as !== "alice"}, 'within_ms', 0 ${more}))`
const expired = "expires_at = clock_timestamp() - interval '1 second'"

const ends: End[] = [
  { name: "is in force", sql: "select 1", because: null },
  { name: "was left", sql: "select maintenance.leave('alice', false)", because: "left", by: "alice" },
  {
    name: "was handed over",
    sql: "select maintenance.transfer('alice', false, 'bob')",
    because: "handed over",
    by: "alice",
    next: ["concurrent", "bob"],
  },
  {
    name: "was switched",
    sql: "select maintenance.enter('exclusive', 'alice', false)",
    because: "switched",
    by: "alice",
    next: ["exclusive", "alice"],
  },
  {
    name: "was taken over, and its successor was left",
    sql: "select maintenance.enter('exclusive', 'bob', true); select maintenance.leave('bob', true)",
    because: "taken over",
    by: "bob",
    next: ["exclusive", "bob"],
  },
  {
    name: "is beneath a window that is being entered",
    sql: over("bob"),
    because: "taken over",
    by: "bob",
    next: ["exclusive", "bob"],
  },
  {
    name: "is beneath a task of the same maintainer",
    sql: over("alice", ", 'task', 'task'"),
    because: "switched",
    by: "alice",
    next: ["exclusive", "alice"],
  },
  {
    name: "is in force again after a task",
    sql: `${over("bob", ", 'task', 'task'")}; select maintenance.finish('task')`,
    because: null,
  },
  {
    name: "has expired, but is not yet marked as over",
    sql: `update maintenance.window set ${expired}`,
    because: "expired",
  },
  {
    name: "has expired",
    sql: `update maintenance.window set ${expired}; update maintenance.state set ${expired}; select maintenance.mend()`,
    because: "expired",
  },
  {
    name: "was tied to a process that is lost, but is not yet marked as over",
    sql: `update maintenance.window set ${expired}, lease = 'lease', grace_ms = 1000`,
    because: "lost",
  },
  {
    name: "was tied to a lost process, and reached its own expiry",
    sql: `update maintenance.window set ${expired}, lease = 'lease', grace_ms = 1000; update maintenance.window set latest = expires_at`,
    because: "expired",
  },
  { name: "has no row", sql: "delete from maintenance.window", because: "replaced" },
]

describe("The ending of a window", () => {
  const database = useDatabase()
  useMaintenance(database)

  const endingOf = async (client: Client, call: string) => {
    const text = `select ended_because, ended_by, ended_at_ms is not null as has_time, next_mode, next_maintainer
      from maintenance.ending_of($1)`
    return (await client.query(text, [call])).rows
  }

  for (const { name, sql, because, by = null, next } of ends) {
    it(`is derived from its row if it ${name}`, async () => {
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select maintenance.enter('concurrent', 'alice', false)")
        const { rows } = await client.query("select window_id from maintenance.state")
        await client.query(sql)
        const [ending] = await endingOf(client, rows[0].window_id)
        const { next_mode, next_maintainer, ...how } = ending
        const has_time = because !== null && because !== "replaced"
        expect(how).to.deep.equal({ ended_because: because, ended_by: by, has_time })
        if (next) expect([next_mode, next_maintainer]).to.deep.equal(next)
        await client.query("rollback")
      })
    })
  }

  it("of a task is that of its last window", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query(`begin; ${over("alice", ", 'task', 'task'")}`)
      await client.query(
        `${over("alice", ", 'task', 'task', 'within_task', 'task'").replace("'over'", "'within'")}; select maintenance.end_entering(epoch, 'within') from maintenance.state`,
      )
      expect(await endingOf(client, "over")).to.have.nested.property("0.ended_because", null)
      await client.query("select maintenance.leave('bob', true)")
      expect(await endingOf(client, "over")).to.have.nested.property("0.ended_by", "bob")
      await client.query("rollback")
    })
  })
})
