import { expect } from "chai"
import type { DataSource } from "typeorm"
import {
  AccessRefusedError,
  MaintenanceInputError,
  MaintenanceSetupError,
  StateUnavailableError,
  WriteVetoedError,
} from "../../src"
import { timeText } from "../../src/text"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { nothingStray, stray } from "../support/pool"
import { Proxy } from "../support/proxy"
import { openShop } from "../support/shop"
import { until } from "../support/until"
import { warningsDuring } from "../support/warning"
import { endWindowAfterEach } from "../support/window"

describe("A restricted call that waits", () => {
  const database = useDatabase()
  // With a single connection, so that calls run in the order in which they are admitted.
  const installed = useMaintenance(database, { poolSize: 1, plugin: { onRefused: "wait" } })
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  let count = 0
  const write = (dataSource: DataSource) =>
    dataSource.query("insert into audit (note) values ($1)", [`note ${++count}`])
  const stored = async () => (await database.current.sql("select from audit")).length
  /** Resolves once all earlier calls have progressed as far as possible without the server. */
  const asFarAsItCan = () => new Promise(setImmediate)

  for (const mode of ["concurrent", "exclusive"] as const) {
    it(`holds no connection in ${mode} mode, and continues in its turn once the mode is over`, async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter(mode, { as: "alice" })
      const before = await stored()
      const order: number[] = []
      const waiting = Array.from({ length: 10 }, (_, index) =>
        dataSource.transaction((manager) => {
          order.push(index)
          return manager.query("insert into audit (note) values ('in turn')")
        }),
      )
      const reading = dataSource.query("select 1 as one")
      await asFarAsItCan()
      expect(await stored()).to.equal(before)
      expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
      await maintenance.runAs("alice", () => write(dataSource))
      expect(await stored()).to.equal(before + 1)
      await maintenance.leave({ as: "alice" })
      await Promise.all(waiting)
      expect(await reading).to.deep.equal([{ one: 1 }])
      expect(await stored()).to.equal(before + 11)
      expect(order).to.deep.equal([...order].sort((one, other) => one - other))
    })
  }

  it("continues to wait when the mode is switched", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    let isDone = false
    const writing = write(dataSource).then(() => (isDone = true))
    await maintenance.enter("concurrent", { as: "alice" })
    await asFarAsItCan()
    expect(isDone).to.equal(false)
    await maintenance.leave({ as: "alice" })
    await writing
  })

  it("waits while the state is being reread after a change of the window", async () => {
    const { maintenance } = installed.current
    const proxy = await Proxy.start(database.current.url)
    await withMaintenance(proxy.url, { plugin: { onRefused: "wait" } }, async ({ dataSource }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const hold = proxy.holdAt(1, "request")
      await maintenance.extend({ as: "alice", expiresInMs: 60_000 })
      await hold.reached
      const before = await stored()
      const writing = write(dataSource)
      await asFarAsItCan()
      expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
      hold.pass()
      await maintenance.leave({ as: "alice" })
      await writing
      expect(await stored()).to.equal(before + 1)
    })
    await proxy.stop()
  })

  it("is refused after the time limit, or if too many calls wait", async () => {
    const plugin = { onRefused: "wait", maxWaitMs: 20, maxWaiting: 1 } as const
    await withMaintenance(database.current.url, { plugin }, async ({ dataSource, maintenance }) => {
      await maintenance.enter("exclusive", { as: "alice" })
      const first = errorOf(write(dataSource))
      const second = await errorOf(write(dataSource))
      expect(second).to.be.instanceOf(AccessRefusedError)
      expect((second as AccessRefusedError).detailedMessage).to.include(
        ". The maximum number of calls already waits for its end (maxWaiting: 1).",
      )
      expect(await first).to.be.instanceOf(AccessRefusedError)
      expect(((await first) as Error).message).to.include(
        " This call has waited 20 ms for its end (maxWaitMs). Try again ",
      )
      await maintenance.enter("concurrent", { as: "alice" })
      const read = await errorOf(dataSource.query("select 1"))
      expect(read).to.be.instanceOf(AccessRefusedError).and.to.include({ mode: "concurrent" })
      expect((read as AccessRefusedError).detailedMessage).to.match(
        /^Access refused: the system has been in concurrent maintenance by alice since [-\d]+ [:\d]+ UTC; this call has waited 20 ms for its end \(maxWaitMs\)\. Nothing was sent\. /,
      )
      const written = maintenance.whenRefused("throw", () => write(dataSource))
      expect(await errorOf(written)).to.be.instanceOf(WriteVetoedError)
      await maintenance.leave({ as: "alice" })
    })
  })

  it('is refused instead within whenRefused("throw"), and waits within whenRefused("wait")', async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    const thrown = await errorOf(maintenance.whenRefused("throw", () => write(dataSource)))
    expect(thrown).to.be.instanceOf(AccessRefusedError)
    await withMaintenance(database.current.url, {}, async (other) => {
      const before = await stored()
      expect(await errorOf(write(other.dataSource))).to.be.instanceOf(AccessRefusedError)
      const waiting = other.maintenance.whenRefused("wait", () =>
        other.maintenance.runAs("bob", () => write(other.dataSource)),
      )
      await asFarAsItCan()
      await maintenance.leave({ as: "alice" })
      await waiting
      expect(await stored()).to.equal(before + 1)
    })
  })

  it("can be chosen for one user or one transaction", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    await withMaintenance(database.current.url, {}, async (other) => {
      const before = await stored()
      const note = "insert into audit (note) values ('one')"
      const waiting = [
        other.maintenance.runAs("bob", () => other.dataSource.query(note), { onRefused: "wait" }),
        other.maintenance.transaction((manager) => manager.query(note), { onRefused: "wait" }),
      ]
      const refused = [
        maintenance.runAs("bob", () => installed.current.dataSource.query(note), { onRefused: "throw" }),
        maintenance.transaction((manager) => manager.query(note), { onRefused: "throw" }),
      ]
      for (const one of refused) expect(await errorOf(one)).to.be.instanceOf(AccessRefusedError)
      await asFarAsItCan()
      expect(await stored()).to.equal(before)
      await maintenance.leave({ as: "alice" })
      await Promise.all(waiting)
      expect(await stored()).to.equal(before + 2)
    })
  })

  it("causes one process warning per window", async () => {
    const { dataSource, maintenance } = installed.current
    const ofWaiting = (warnings: readonly string[]) =>
      warnings.filter((message) => / for the end of the /.test(message))
    let since: Date | undefined
    const warnings = await warningsDuring(async (heard) => {
      ;({ since } = await maintenance.enter("exclusive", { as: "alice", reason: "rebuild" }))
      const waiting = [write(dataSource), write(dataSource)]
      await until(() => ofWaiting(heard).length > 0)
      waiting.push(write(dataSource))
      await maintenance.leave({ as: "alice" })
      await Promise.all(waiting)
    })
    expect(ofWaiting(warnings)).to.deep.equal([
      `2 calls wait for the end of the exclusive maintenance by alice (rebuild) since ${timeText(since as Date)} (onRefused: "wait"). ` +
        "Each call waits for at most 300000 ms. This is reported once.",
    ])
  })

  it("rejects if the DataSource is destroyed, and has written nothing", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    const before = await stored()
    let waiting: Promise<unknown> | undefined
    await withMaintenance(database.current.url, { plugin: { onRefused: "wait" } }, async (other) => {
      waiting = errorOf(write(other.dataSource))
      await asFarAsItCan()
    })
    expect(await waiting)
      .to.be.instanceOf(StateUnavailableError)
      .and.to.include({ isDestroyed: true })
    expect(((await waiting) as Error).message).to.equal(
      "The DataSource was destroyed, or maintenance mode was uninstalled from it while this call was waiting for the end of the maintenance. Call initialize() and try again.",
    )
    expect(await stored()).to.equal(before)
  })

  it("requires valid options", async () => {
    const { maintenance } = installed.current
    const call = (policy: unknown) => () => maintenance.whenRefused(policy as never, () => 1)
    for (const policy of ["hold", undefined, 1]) expect(call(policy)).to.throw(MaintenanceInputError)
    const runAs = (options: unknown) => () => maintenance.runAs("bob", () => 1, options as never)
    for (const options of [{ onRefused: "hold" }, { on: "wait" }, 1]) {
      expect(runAs(options)).to.throw(MaintenanceInputError)
      const error = await errorOf(maintenance.transaction(() => Promise.resolve(1), options as never))
      expect(error).to.be.instanceOf(MaintenanceInputError)
    }
    for (const plugin of [
      { onRefused: "hold" },
      { maxWaitMs: -1 },
      { maxWaiting: 1.5 },
      { maxWaitMs: "1s" },
    ]) {
      const error = await errorOf(
        (async () =>
          withMaintenance(database.current.url, { plugin: plugin as never }, () => Promise.resolve()))(),
      )
      expect(error).to.be.instanceOf(MaintenanceSetupError)
      expect((error as Error).message).to.include(`The option ${Object.keys(plugin)[0]} must be `)
    }
  })
})
