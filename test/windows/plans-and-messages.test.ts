import { expect } from "chai"
import { hostname } from "node:os"
import {
  AccessRefusedError,
  DrainTimeoutError,
  type EnterOptions,
  type MaintenanceStatus,
  NotMaintainerError,
  type OpenWindow,
  WindowEndedError,
  WriteVetoedError,
} from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { notWaiting } from "../support/window"
import { statusThat, until } from "../support/until"

const as = "alice"
const facts = { reason: "CVE-2026-1234", message: "We are back soon." }
const aMinute = 60_000

describe("A window's public message and planned end", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => database.current.sql("create table loot (name text)"))
  afterEach(async () => {
    const { maintenance } = installed.current
    if ((await maintenance.status()).mode !== "normal") await maintenance.leave({ as: "break-glass" })
  })
  const enter = (mode: "concurrent" | "exclusive", options: EnterOptions = {}) =>
    installed.current.maintenance.enter(mode, { as, drain: notWaiting, ...options })
  const write = () => errorOf(installed.current.dataSource.query("insert into loot values ('gold')"))

  for (const [mode, Refusal] of [
    ["concurrent", WriteVetoedError],
    ["exclusive", AccessRefusedError],
  ] as const) {
    it(`appear in the status and in refusals in ${mode} mode, without the reason`, async () => {
      const { maintenance } = installed.current
      await enter(mode, facts)
      expect(await maintenance.status()).to.include(facts)
      const refusal = (await write()) as InstanceType<typeof Refusal>
      expect(refusal).to.be.instanceOf(Refusal)
      expect(refusal).to.include({ reason: facts.reason, publicMessage: facts.message })
      expect(refusal.message).to.include(facts.message).and.not.to.include(facts.reason)
      expect(refusal.detailedMessage).to.include(facts.reason).and.not.to.include(facts.message)
      // Also for a process that has not seen the window yet and is refused by the server.
      const [row] = await database.current.sql("select message, planned_at from maintenance.status()")
      expect(row).to.deep.equal({ message: facts.message, planned_at: null })
    })
  }

  it("appear in the errors of those who change the mode", async () => {
    const { maintenance } = installed.current
    await enter("concurrent", facts)
    const expectMessage = (error: unknown, Class: abstract new (...given: never[]) => Error) => {
      expect(error).to.be.instanceOf(Class)
      expect(error).to.include({ publicMessage: facts.message })
    }
    expectMessage(await errorOf(enter("concurrent", { as: "bob" })), NotMaintainerError)
    await maintenance.leave({ as })

    const overrule = () => enter("exclusive", { as: "break-glass", ...facts })
    expectMessage(await errorOf(maintenance.during("concurrent", { as }, overrule)), WindowEndedError)
    await maintenance.leave({ as: "break-glass" })

    await withClient(database.current.url, async (client) => {
      await client.query("begin; insert into loot values ('silver')")
      const drain = { withinMs: 0, then: "abandon" } as const
      expectMessage(await errorOf(enter("exclusive", { ...facts, drain })), DrainTimeoutError)
      await client.query("rollback")
    })

    const announced = errorOf(enter("concurrent", { startsInMs: aMinute }))
    await until(async () => (await maintenance.status()).announced)
    await maintenance.announce("exclusive", { as, startsInMs: aMinute, ...facts })
    expectMessage(await announced, WindowEndedError)
    await maintenance.leave({ as })
  })

  it("stay when the mode is switched, until they are changed", async () => {
    const { maintenance } = installed.current
    const { plannedUntil } = await enter("exclusive", { ...facts, plannedForMs: aMinute })
    expect(await enter("concurrent")).to.deep.include({ ...facts, plannedUntil })
    expect(await enter("concurrent", { message: "Later." })).to.include({ ...facts, message: "Later." })
    await maintenance.during("exclusive", { as, plannedForMs: 2 * aMinute }, async () => {
      const status = await maintenance.status()
      expect(status).to.include({ message: "Later." })
      expect(Number(status.plannedUntil)).to.be.above(Number(plannedUntil))
    })
    expect(await maintenance.status()).to.deep.include({ plannedUntil, isOverdue: false })
  })

  it("include no plan beyond the end of the window", async () => {
    const { maintenance } = installed.current
    expect(await enter("exclusive", { expiresInMs: aMinute })).not.to.have.property("plannedUntil")
    expect(await maintenance.extend({ as })).not.to.have.property("plannedUntil")
    await enter("exclusive", { plannedForMs: 10 * aMinute })
    // As long as the end stays, so does the plan.
    await maintenance.extend({ as, expiresInMs: 20 * aMinute })
    const { plannedUntil, expiresAt } = await maintenance.status()
    expect(Number(expiresAt) - Number(plannedUntil)).to.be.above(9 * aMinute)
    const shortened = await maintenance.extend({ as, expiresInMs: 5 * aMinute })
    expect(shortened.plannedUntil).to.deep.equal(shortened.expiresAt)
    const entered = await enter("concurrent", { expiresInMs: 2 * aMinute })
    expect(entered.plannedUntil).to.deep.equal(entered.expiresAt)
    const planned = await enter("concurrent", { plannedForMs: aMinute })
    expect(planned).to.deep.include({ expiresAt: entered.expiresAt })
    expect(Number(planned.plannedUntil)).to.be.below(Number(planned.expiresAt))
    await maintenance.during("exclusive", { as, expiresInMs: aMinute / 2 }, async () => {
      const status = await maintenance.status()
      expect(status.plannedUntil).to.deep.equal(status.expiresAt)
    })
    expect(await maintenance.status()).to.deep.include({ plannedUntil: planned.plannedUntil })
    // The plan belongs to the window of another user, and does not bind a window that is taken over.
    await enter("exclusive", { as: "break-glass", plannedForMs: 10 * aMinute })
    expect(await maintenance.status()).not.to.have.property("expiresAt")
  })

  it("determine the time after which to retry, unless the window has an expiry", async () => {
    const { maintenance } = installed.current
    await enter("exclusive", { plannedForMs: aMinute })
    const refusal = (await write()) as AccessRefusedError
    expect(refusal.retryAfterMs).to.be.within(1, aMinute)
    expect(refusal.headers).to.have.property("retry-after")
    expect(refusal).not.to.have.property("expiresAt")
    await enter("exclusive", { plannedForMs: aMinute, expiresInMs: 10 * aMinute })
    expect(((await write()) as AccessRefusedError).retryAfterMs).to.be.above(aMinute)
    const status = await maintenance.status()
    expect(Number(status.expiresAt) - Number(status.plannedUntil)).to.be.within(
      9 * aMinute - 1,
      9 * aMinute + 1,
    )
  })

  it("end nothing: each DataSource reports an overdue window once", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async (other) => {
      const told: MaintenanceStatus[][] = [[], []]
      const heard = [maintenance, other.maintenance].map(
        (one, index) =>
          new Promise<void>((resolve) => {
            one.on("overdue", (status) => {
              told[index]?.push(status)
              resolve()
            })
          }),
      )
      await enter("exclusive", { plannedForMs: 1000, expiresInMs: aMinute })
      expect(await maintenance.status()).to.include({ isOverdue: false })
      await Promise.all(heard)
      for (const one of [maintenance, other.maintenance])
        expect(await one.status()).to.include({ mode: "exclusive", isOverdue: true })
      // The state was read again, without a second report.
      expect(told.map(({ length }) => length)).to.deep.equal([1, 1])
      expect(told[0]?.[0]).to.include({ mode: "exclusive", maintainer: as, isOverdue: true })
      // Once the planned end is past, the expiry determines the time.
      expect(((await write()) as AccessRefusedError).retryAfterMs).to.be.above(1000)
      const again = new Promise((resolve) => maintenance.on("overdue", resolve))
      await enter("exclusive", { plannedForMs: 1000 })
      await again
    })
  })

  it("report an overdue outer window once, even if it comes into force again after an overdue inner one", async () => {
    await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
      const told: (string | undefined)[] = []
      maintenance.on("overdue", ({ reason }) => told.push(reason))
      const isOverdue = (report: MaintenanceStatus) => report.isOverdue === true
      await maintenance.enter("exclusive", { as, reason: "outer", plannedForMs: 1000 })
      await statusThat(maintenance, isOverdue)
      await maintenance.during("concurrent", { as, reason: "inner", plannedForMs: 1000 }, () =>
        statusThat(maintenance, (report) => report.reason === "inner" && isOverdue(report)),
      )
      await maintenance.status()
      expect(told).to.deep.equal(["outer", "inner"])
      // The same plan in another maintenance is another plan.
      await maintenance.leave({ as })
      await maintenance.enter("exclusive", { as, reason: "next", plannedForMs: 1000 })
      await statusThat(maintenance, isOverdue)
      expect(told).to.deep.equal(["outer", "inner", "next"])
    })
  })

  it("no longer determine a time once the planned end is past", async () => {
    const { maintenance } = installed.current
    const overdue = new Promise((resolve) => maintenance.on("overdue", resolve))
    await enter("exclusive", { plannedForMs: 1000 })
    await overdue
    const refusal = (await write()) as AccessRefusedError
    expect(refusal).not.to.have.property("retryAfterMs")
    expect(refusal.headers).to.equal(undefined)
  })
})

describe("The list of windows in the status", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  const positions = async () => {
    const { windows } = await installed.current.maintenance.status()
    return windows.map(({ mode, maintainer, position }) => `${position} ${mode} ${maintainer}`)
  }

  it("contains the windows that have begun, with the one in force last, and the announced ones", async () => {
    const { maintenance } = installed.current
    expect(await positions()).to.deep.equal([])
    await maintenance.enter("concurrent", { as, reason: "catalog" })
    await maintenance.during("exclusive", { as: "break-glass", readers: undefined }, async () => {
      expect(await positions()).to.deep.equal(["standing concurrent alice", "standing exclusive break-glass"])
      const { windows, since } = await maintenance.status()
      const [outer, inner] = windows as [OpenWindow, OpenWindow]
      expect(outer).to.include({ reason: "catalog", isTask: false, isInterrupted: false })
      expect(inner).to.include({ isTask: true, isInterrupted: false })
      expect(inner.since).to.deep.equal(since)
      expect(Number(inner.begunAt)).to.be.above(Number(outer.enteredAt))
      expect(inner.id).not.to.equal(outer.id)
      for (const window of [outer, inner]) expect(window).to.include({ host: hostname(), pid: process.pid })
    })
    const [handed] = (await maintenance.transfer({ as, to: "bob" }), (await maintenance.status()).windows)
    expect(handed).to.include({ maintainer: "bob" }).and.not.to.have.any.keys("host", "pid")
    await maintenance.transfer({ as: "bob", to: as })
    const announced = errorOf(maintenance.enter("exclusive", { as, startsInMs: aMinute }))
    await until(async () => (await positions()).length >= 2)
    expect(await positions()).to.deep.equal(["standing concurrent alice", "announced exclusive alice"])
    await maintenance.leave({ as })
    await maintenance.leave({ as })
    await announced
    expect(await positions()).to.deep.equal([])
  })
})
