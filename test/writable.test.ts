import { expect } from "chai"
import { AccessRefusedError, MaintenanceInputError, WriteVetoedError } from "../src"
import { useMaintenance } from "./support/data-source"
import { useDatabase } from "./support/database"
import { errorOf } from "./support/error-of"

describe("Whether one may write", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  afterEach(async () => {
    const { maintenance } = installed.current
    if ((await maintenance.status()).mode !== "normal") await maintenance.leave({ as: "alice" })
  })
  /** Resolves with the mode at the moment in which it resolves. */
  const modeWhenWritable = async () => {
    const { maintenance } = installed.current
    await maintenance.whenWritable()
    return (await maintenance.status()).mode
  }

  it("is told before an effect outside the database", async () => {
    const { maintenance } = installed.current
    const assertWritable = () => maintenance.assertWritable()
    await assertWritable()
    await maintenance.enter("concurrent", { as: "alice" })
    let told: unknown
    const stop = maintenance.on("refused", (error) => (told = error))
    const veto = await errorOf(assertWritable())
    stop()
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(told).to.equal(veto)
    await maintenance.runAs("alice", assertWritable)
    await maintenance.enter("exclusive", { as: "alice" })
    expect(await errorOf(assertWritable())).to.be.instanceOf(AccessRefusedError)
    await maintenance.runAs("break-glass", assertWritable)
  })

  it("is waited for, by a hundred at once, and not by the maintainer", async () => {
    const { maintenance } = installed.current
    expect(await modeWhenWritable()).to.equal("normal")
    await maintenance.enter("exclusive", { as: "alice" })
    await maintenance.runAs("alice", () => maintenance.whenWritable())
    const waiting = Array.from({ length: 100 }, modeWhenWritable)
    await maintenance.enter("concurrent", { as: "alice" })
    await maintenance.leave({ as: "alice" })
    expect(new Set(await Promise.all(waiting))).to.deep.equal(new Set(["normal"]))
  })

  it("is waited for without being refused, unless the time is over", async () => {
    const { maintenance } = installed.current
    const told: unknown[] = []
    const stop = maintenance.on("refused", (error) => told.push(error))
    await maintenance.enter("concurrent", { as: "alice" })
    const waiting = maintenance.whenWritable()
    await maintenance.enter("exclusive", { as: "alice" })
    const refusal = await errorOf(maintenance.whenWritable({ timeoutMs: 0 }))
    await maintenance.leave({ as: "alice" })
    await waiting
    stop()
    expect(told).to.deep.equal([refusal])
  })

  it("is waited for no longer than was said", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    for (const timeoutMs of [0, 20]) {
      expect(await errorOf(maintenance.whenWritable({ timeoutMs }))).to.be.instanceOf(WriteVetoedError)
    }
    const reason = new Error("shutting down")
    const controller = new AbortController()
    const waiting = errorOf(maintenance.whenWritable({ signal: controller.signal }))
    controller.abort(reason)
    expect(await waiting).to.equal(reason)
    expect(await errorOf(maintenance.whenWritable({ signal: controller.signal }))).to.equal(reason)
  })

  it("is not asked in a way that makes no sense", async () => {
    const { maintenance } = installed.current
    for (const options of [{ timeoutMs: -1 }, { timeout: 5 }, { signal: "x" }, 5]) {
      expect(await errorOf(maintenance.whenWritable(options as never))).to.be.instanceOf(
        MaintenanceInputError,
      )
    }
  })
})
