import { expect } from "chai"
import { MaintenanceInputError, NotMaintainerError } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { withTimersOf } from "../support/long-timers"
import { statusThat, until } from "../support/until"
import { endWindowAfterEach } from "../support/window"

describe("The progress of the maintainer's work", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  it("is part of the status in every process, and ends with the window", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async (other) => {
      await maintenance.during("concurrent", { as: "alice" }, async () => {
        expect(await other.maintenance.status()).to.not.have.property("progress")
        await maintenance.progress({ done: 40, total: 100, note: "prices" })
        const { progress, windows } = await other.maintenance.status()
        expect(progress).to.include({ done: 40, total: 100, note: "prices" })
        expect(progress?.at).to.be.instanceOf(Date)
        expect(windows[0]).to.deep.include({ progress })
      })
      expect(await other.maintenance.status()).to.not.have.property("progress")
    })
  })

  it("is that of the window in force, and of the outer one again afterwards", async () => {
    await withMaintenance(database.current.url, {}, ({ maintenance }) =>
      maintenance.during("exclusive", { as: "alice" }, async () => {
        await maintenance.progress({ done: 1 })
        await maintenance.during("concurrent", { as: "alice" }, async () => {
          expect(await maintenance.status()).to.not.have.property("progress")
        })
        expect((await maintenance.status()).progress).to.include({ done: 1 })
      }),
    )
  })

  it("changes neither the epoch nor the stamp", async () => {
    const { maintenance } = installed.current
    const state = () => database.current.sql("select * from maintenance.state")
    await maintenance.enter("concurrent", { as: "alice" })
    const before = await state()
    await maintenance.progress({ done: 1 }, { as: "alice" })
    expect(await state()).to.deep.equal(before)
  })

  it("is sent at most once a second, and then the last report", async () => {
    await withTimersOf(1000, async (elapse) => {
      await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
        await maintenance.enter("concurrent", { as: "alice" })
        for (let done = 1; done <= 500; done++) await maintenance.progress({ done }, { as: "alice" })
        const { progress } = await maintenance.status()
        expect(progress).to.include({ done: 1 })
        elapse()
        const { progress: last } = await statusThat(maintenance, (report) => report.progress?.done !== 1)
        expect(last).to.include({ done: 500 })
      })
    })
  })

  it("of one window is never that of the next", async () => {
    await withTimersOf(1000, async (elapse) => {
      await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
        await maintenance.during("concurrent", { as: "alice" }, async () => {
          await maintenance.progress({ done: 1 })
          await maintenance.progress({ done: 2 })
        })
        await maintenance.during("concurrent", { as: "alice" }, async () => {
          elapse()
          await maintenance.progress({ done: 0 })
          await maintenance.status()
          elapse()
          const { progress } = await statusThat(maintenance, (report) => report.progress !== undefined)
          expect(progress).to.include({ done: 0 })
        })
      })
    })
  })

  it("is refused with the next report, if it was refused while it waited", async () => {
    await withTimersOf(1000, async (elapse) => {
      await withMaintenance(database.current.url, {}, async (other) => {
        const { maintenance } = installed.current
        await other.maintenance.enter("concurrent", { as: "alice" })
        await other.maintenance.progress({ done: 1 }, { as: "alice" })
        await database.current.sql(
          "update maintenance.window set maintainer = 'carol' where position = 'standing'",
        )
        await other.maintenance.progress({ done: 2 }, { as: "alice" })
        await database.current.sql("update maintenance.state set maintainer = 'carol'")
        elapse()
        const refused = await until(() =>
          other.maintenance.progress({ done: 3 }, { as: "alice" }).then(
            () => undefined,
            (error: unknown) => error,
          ),
        )
        expect(refused).to.be.instanceOf(NotMaintainerError)
        await maintenance.leave({ as: "break-glass" })
      })
    })
  })

  it("is not displaced by the report of another user", async () => {
    await withTimersOf(1000, async (elapse) => {
      await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
        await maintenance.enter("concurrent", { as: "alice" })
        await maintenance.progress({ done: 1 }, { as: "alice" })
        await maintenance.progress({ done: 2 }, { as: "alice" })
        const refused = await errorOf(maintenance.progress({ done: 9 }, { as: "mallory" }))
        expect(refused).to.be.instanceOf(NotMaintainerError)
        elapse()
        const { progress } = await statusThat(maintenance, (report) => report.progress?.done !== 1)
        expect(progress).to.include({ done: 2 })
      })
    })
  })

  it("is checked by the database, too", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    for (const reported of [
      "[1]",
      "5",
      "{}",
      `{"done": "half"}`,
      `{"done": 1, "note": "${"n".repeat(201)}"}`,
    ]) {
      const failure = await errorOf(
        database.current.sql("select maintenance.report_progress('alice', false, $1)", [reported]),
      )
      expect(failure).to.have.property("code", "22023")
    }
  })

  it("is refused for other users, and in normal mode", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async (other) => {
      const nothing = await errorOf(other.maintenance.progress({ done: 1 }, { as: "alice" }))
      expect(nothing).to.be.instanceOf(MaintenanceInputError)
      expect((nothing as Error).message).to.equal(
        "There is no maintenance to report progress of: the mode is normal.",
      )
    })
    await withMaintenance(database.current.url, {}, async (other) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const refused = await errorOf(other.maintenance.progress({ done: 1 }, { as: "bob" }))
      expect(refused).to.be.instanceOf(NotMaintainerError).and.to.include({ maintainer: "alice" })
    })
    expect(await maintenance.status()).to.not.have.property("progress")
  })

  it("is accepted from an emergency user", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async (other) => {
      await maintenance.enter("concurrent", { as: "alice" })
      await other.maintenance.progress({ done: 3 }, { as: "break-glass" })
    })
    expect((await maintenance.status()).progress).to.include({ done: 3 })
  })
})
