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
          { kind: "standing", made_by: "alice", is_emergency: null },
          { kind: "extended", made_by: "break-glass", is_emergency: true },
          // The window of alice, and the one of bob.
          { kind: "handed over", made_by: "alice", is_emergency: false },
          { kind: "handed over", made_by: "alice", is_emergency: false },
          { kind: "entered", made_by: "bob", is_emergency: false },
          { kind: "standing", made_by: "bob", is_emergency: null },
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

  describe("is one row for each window", () => {
    const no = { is_emergency: false }
    const ofRoot = { acting_user: "root", is_emergency: true } as const
    /** The kind and user of each change of a window, in order. "!" marks those of an emergency user. */
    const changesOf = async (id: string) => {
      const sql =
        "select kind || coalesce(' by ' || made_by, '') || case when is_emergency then '!' else '' end as is from maintenance.change " +
        "where window_id = $1 order by at"
      return (await database.sql<{ is: string }>(sql, [id])).map((change) => change.is)
    }
    const enter = async (id: string, request: Partial<Parameters<typeof enterSql>[0]> = {}) => {
      const whole = { id, mode: "concurrent", acting_user: "alice", ...request } as const
      const [row] = await database.sql<{ epoch: number }>(enterSql(whole))
      return row?.epoch
    }
    const stand = async (id: string, request?: Parameters<typeof enter>[1]) => {
      await database.sql("select maintenance.end_entering($1, $2)", [await enter(id, request), id])
    }
    const announce = (id: string, request: object = {}) => {
      const whole = {
        id,
        mode: "concurrent",
        acting_user: "alice",
        starts_in_ms: 3_600_000,
        ...no,
        ...request,
      }
      return database.sql("select maintenance.announce($1)", [whole])
    }
    const endOf = (id: string) =>
      database.sql("select ended_because, ended_by from maintenance.window where id = $1", [id])
    beforeEach(() => withMaintenance(database.url, {}, () => Promise.resolve()))

    it("that was announced, replaced by other announcements, and cancelled", async () => {
      await announce("a")
      await announce("b")
      await announce("c", ofRoot)
      await database.sql("select maintenance.cancel('c', 'root', true)")
      expect(await changesOf("a")).to.deep.equal(["announced by alice", "switched by alice"])
      expect(await changesOf("b")).to.deep.equal(["announced by alice", "taken over by root!"])
      expect(await changesOf("c")).to.deep.equal(["announced by root!", "cancelled by root!"])
    })

    it("that was announced and cancelled together with others", async () => {
      await announce("a", { expires_in_ms: 1000 })
      await announce("b", { starts_in_ms: 7_200_000 })
      await database.sql("select maintenance.cancel_announced('root', true, 'all')")
      for (const id of ["a", "b"])
        expect(await changesOf(id)).to.deep.equal(["announced by alice", "cancelled by root!"])
    })

    it("that another session begins, or finds missed", async () => {
      await announce("a", { expires_in_ms: 60_000 })
      await announce("b", { starts_in_ms: 3_700_000 })
      await database.sql("update maintenance.window set starts_at = clock_timestamp()")
      await database.sql("select maintenance.begin_announced($1)", [{ id: "a", name: "begin a" }])
      await database.sql("select maintenance.transfer('alice', false, 'bob', 'c')")
      await database.sql("select maintenance.begin_announced($1)", [{ id: "b", name: "begin b" }])
      expect(await changesOf("a")).to.deep.equal([
        "announced by alice",
        "entered by alice",
        "begun by alice",
        "handed over by alice",
      ])
      expect(await changesOf("b")).to.deep.equal(["announced by alice", "missed"])
      expect(await changesOf("c")).to.deep.equal(["handed over by alice"])
      const pids = "select count(distinct pid)::int as count from maintenance.change where window_id = 'a'"
      expect(await database.sql(pids)).to.deep.equal([{ count: 3 }])
      await database.sql("select maintenance.leave('bob', false)")
    })

    it("that is replaced by a switch, or taken over", async () => {
      await stand("a")
      await stand("b", { mode: "exclusive" })
      await stand("c", ofRoot)
      expect(await changesOf("a")).to.deep.equal([
        "entered by alice",
        "standing by alice",
        "switched by alice",
      ])
      expect(await changesOf("b")).to.deep.equal([
        "entered by alice",
        "standing by alice",
        "taken over by root",
      ])
      expect(await changesOf("c")).to.deep.equal(["entered by root!", "standing by root"])
      await database.sql("select maintenance.leave('root', true)")
    })

    it("that yields while it is entered, is interrupted, or is abandoned", async () => {
      await withMaintenance(database.url, {}, async ({ maintenance }) => {
        const [{ id: instance } = { id: 0 }] = (await maintenance.status()).instances
        await stand("below")
        await enter("a", { instance })
        await enter("b", { instance, ...ofRoot })
        await database.sql("select maintenance.interrupt_entering('b')")
        await database.sql("select maintenance.interrupt_entering('b')")
        const epoch = await enter("c", ofRoot)
        await database.sql("select maintenance.abandon($1, 'c', 'root', true)", [epoch])
        await enter("d", ofRoot)
        await enter("e", ofRoot)
        await database.sql("select maintenance.leave('root', true, 'all')")
      })
      expect(await changesOf("a")).to.deep.equal(["entered by alice", "taken over by root!"])
      expect(await changesOf("b")).to.deep.equal(["entered by root!", "interrupted by root", "left by root!"])
      expect(await changesOf("c")).to.deep.equal(["entered by root!", "abandoned by root!"])
      expect(await changesOf("d")).to.deep.equal(["entered by root!", "interrupted by root", "left by root!"])
      expect(await changesOf("below")).to.deep.equal([
        "entered by alice",
        "standing by alice",
        "left by root!",
      ])
    })

    it("of a task that is over, or whose process is gone", async () => {
      await stand("a", { task: "t" })
      await stand("b", { task: "u", within_task: "t" })
      await database.sql("select maintenance.leave('root', true)")
      for (const id of ["a", "b"])
        expect(await changesOf(id)).to.deep.equal(["entered by alice", "standing by alice", "left by root!"])
      await stand("c", { task: "v" })
      await stand("d", { task: "v", within_task: "v", mode: "exclusive" })
      await enter("e", { task: "v", within_task: "v" })
      await database.sql("select maintenance.finish('v')")
      expect((await changesOf("c")).at(-1)).to.equal("switched by alice")
      for (const id of ["d", "e"]) expect((await changesOf(id)).at(-1)).to.equal("left by alice")
      await stand("f", { task: "w", instance: 4711 })
      await database.sql("select maintenance.give_up(4711)")
      await database.sql("select maintenance.give_up(4711)")
      await enter("g")
      expect(await changesOf("f")).to.deep.equal([
        "entered by alice",
        "standing by alice",
        "given up",
        "taken over by alice",
      ])
      await database.sql("select maintenance.leave('alice', false)")
    })

    it("that a void call has announced, or that a restore has lost", async () => {
      await announce("a")
      await announce("b", { acting_user: "bob", starts_in_ms: 1000, expires_in_ms: 1000 })
      await database.sql("select maintenance.void(array['a', 'b', 'unknown'])")
      expect(await changesOf("a")).to.deep.equal(["announced by alice", "void by alice"])
      expect(await changesOf("b")).to.deep.equal(["announced by bob", "void by bob"])
      expect(await endOf("a")).to.deep.equal([{ ended_because: "cancelled", ended_by: "alice" }])
      expect(await endOf("b")).to.deep.equal([{ ended_because: "cancelled", ended_by: "bob" }])
      const lost = { id: "z", mode: "concurrent", maintainer: "alice", since_ms: 0 }
      for (const _ of [1, 2]) await database.sql("select maintenance.note_replaced($1)", [lost])
      expect(await changesOf("z")).to.deep.equal(["replaced"])
    })
  })
})
