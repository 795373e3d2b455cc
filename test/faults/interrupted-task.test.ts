import { expect } from "chai"
import { AsyncResource } from "node:async_hooks"
import { hostname } from "node:os"
import { NotMaintainerError } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { enterSql } from "../support/enter-sql"
import { errorOf } from "../support/error-of"
import { Member } from "../support/members"
import { endOwnSessions } from "../support/sessions"
import { openShop } from "../support/shop"
import { warning } from "../support/warning"
import { statusThat } from "../support/until"
import { endWindowAfterEach } from "../support/window"

describe("A during() whose process is gone", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  const read = () => errorOf(installed.current.dataSource.query("select 1"))

  /** The outcome of another task of alice that runs outside of the current task. */
  const beside = () =>
    AsyncResource.bind(() =>
      errorOf(installed.current.maintenance.during("concurrent", { as: "alice" }, () => undefined)),
    )

  /** Kills a process in the middle of a task of alice. Resolves with its process id. */
  const killed = async (mode: "concurrent" | "exclusive", reason: string): Promise<number> => {
    const member = await Member.start(database.current.url)
    // The lock lets the task continue until it is killed.
    await withClient(database.current.url, async (client) => {
      await client.query("select pg_advisory_lock(7)")
      const sql = "select pg_advisory_lock(7)"
      const done = errorOf(member.act({ during: mode, options: { as: "alice", reason }, sql }))
      const running = await statusThat(
        installed.current.maintenance,
        (report) => report.reason === reason && report.state !== "entering",
      )
      expect(running).to.include({ mode, isInterrupted: false })
      member.signal("SIGKILL")
      await done
    })
    await statusThat(installed.current.maintenance, ({ instances }) => instances.length === 1)
    return member.pid
  }

  it("is reported as interrupted, and the next task takes it over with a warning, then restores the window beneath", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice", reason: "move" })
    expect(await read()).to.have.property("code", "MAINTENANCE_ACCESS_REFUSED")
    const pid = await killed("concurrent", "look")
    expect(await maintenance.status()).to.include({
      mode: "concurrent",
      reason: "look",
      state: "concurrent",
      isInterrupted: true,
    })
    const warned = warning(/was taken over\.$/)
    await maintenance.during("concurrent", { as: "alice" }, async () => {
      expect(await maintenance.status()).to.include({
        mode: "concurrent",
        reason: "move",
        isInterrupted: false,
      })
    })
    expect(await warned).to.match(
      new RegExp(
        `^A task was interrupted, because its process is gone: process ${pid} on ${hostname()}, since .* UTC\\.`,
      ),
    )
    expect(await maintenance.status()).to.include({
      mode: "exclusive",
      reason: "move",
      isInterrupted: false,
    })
    expect(await read()).to.have.property("code", "MAINTENANCE_ACCESS_REFUSED")
  })

  it("is taken over by enter() immediately, which continues from the window beneath", async () => {
    const { maintenance } = installed.current
    const { since } = await maintenance.enter("exclusive", { as: "alice", reason: "move" })
    await killed("concurrent", "look")
    await maintenance.enter("exclusive", { as: "alice" })
    const report = await maintenance.status()
    expect(report).to.include({ mode: "exclusive", reason: "move", isInterrupted: false })
    expect(report.since).to.deep.equal(since)
    expect(await read()).to.have.property("code", "MAINTENANCE_ACCESS_REFUSED")
  })

  it("is taken over by an emergency user, and restored afterwards, still interrupted", async () => {
    const { maintenance } = installed.current
    await killed("concurrent", "look")
    await maintenance.during("exclusive", { as: "break-glass" }, async () => {
      expect(await maintenance.status()).to.include({ mode: "exclusive", isInterrupted: false })
    })
    expect(await maintenance.status()).to.include({ mode: "concurrent", reason: "look", isInterrupted: true })
    await maintenance.leave({ as: "alice" })
    expect(await maintenance.status()).to.include({ mode: "normal", isInterrupted: false })
  })

  it("is distinguished from a running task, which is named, even after its watch lost its connection", async () => {
    const { maintenance } = installed.current
    const refused = new RegExp(
      `^Mode not changed: another task of alice \\(process ${process.pid} on ${hostname()}, since .* UTC\\) is running in concurrent maintenance by alice since `,
    )
    await withMaintenance(database.current.url, {}, async (other) => {
      const secondOne = beside()
      await other.maintenance.during("concurrent", { as: "alice" }, async () => {
        const refusal = await secondOne()
        expect(refusal).to.be.instanceOf(NotMaintainerError).with.property("message").match(refused)
        expect((refusal as NotMaintainerError).task).to.include({
          host: hostname(),
          pid: process.pid,
          isGone: false,
        })
        const before = (await maintenance.status()).instances.map(({ id }) => id)
        await endOwnSessions(database.current)
        await statusThat(
          installed.current.maintenance,
          ({ instances }) => instances.length === 2 && instances.every(({ id }) => !before.includes(id)),
        )
        expect(await maintenance.status()).to.include({ mode: "concurrent", isInterrupted: false })
        expect(await secondOne())
          .to.be.instanceOf(NotMaintainerError)
          .with.property("message")
          .match(refused)
      })
    })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("is given time to return; if it does, the next task is refused as usual, and no window is lost", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async (other) => {
      const secondOne = beside()
      const move = "update maintenance.window set instance"
      await other.maintenance.during("exclusive", { as: "alice", reason: "first" }, async () => {
        // Simulates a lost watch that its process has not noticed yet.
        const [task] = await database.current.sql<{ instance: number }>(
          "select instance from maintenance.window where task is not null and position = 'standing'",
        )
        await database.current.sql(`${move} = -1`)
        expect(await maintenance.status()).to.include({ isInterrupted: true })
        const next = secondOne()
        await database.current.sql("select pg_sleep(0.6)")
        await database.current.sql(`${move} = $1`, [task?.instance])
        expect(await next).to.be.instanceOf(NotMaintainerError)
        expect(await maintenance.status()).to.include({
          mode: "exclusive",
          reason: "first",
          isInterrupted: false,
        })
      })
    })
  })

  it("is taken over together with an outer task of the same process; the window before both is restored", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice", reason: "move" })
    const alices = { mode: "concurrent", acting_user: "alice", instance: -1 } as const
    await database.current.sql(enterSql({ ...alices, id: "one", task: "outer", reason: "outer" }))
    await database.current.sql(
      enterSql({ ...alices, id: "other", task: "inner", within_task: "outer", reason: "inner" }),
    )
    expect(await maintenance.status()).to.include({ reason: "inner", isInterrupted: true })
    await database.current.sql("select maintenance.give_up(-1)")
    await maintenance.during("concurrent", { as: "alice" }, async () => {
      expect(await maintenance.status()).to.include({ reason: "move", isInterrupted: false })
      // Neither task ends the new window if it continues after all.
      for (const task of ["inner", "outer"])
        expect(await database.current.sql("select maintenance.finish($1) as epoch", [task])).to.deep.equal([
          { epoch: null },
        ])
    })
    expect(await maintenance.status()).to.include({ mode: "exclusive", reason: "move" })
  })

  it("is not considered gone if its instance is unknown", async () => {
    await database.current.sql(
      enterSql({ id: "call", mode: "concurrent", acting_user: "alice", task: "task" }),
    )
    await database.current.sql("select maintenance.end_entering(epoch, 'call') from maintenance.state")
    expect(await installed.current.maintenance.status()).to.include({
      mode: "concurrent",
      isInterrupted: false,
    })
    await database.current.sql("select maintenance.finish('task')")
    expect(
      await database.current.sql("select from maintenance.window where position <> 'over'"),
    ).to.deep.equal([])
  })
})
