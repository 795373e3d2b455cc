import { expect } from "chai"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { warning } from "../support/warning"

describe("A channel of node:diagnostics_channel", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  const write = () => errorOf(installed.current.dataSource.query("insert into audit (note) values ('crate')"))

  /** Runs work, and returns the messages published on a channel meanwhile. */
  const published = async (topic: string, work: () => Promise<unknown>): Promise<object[]> => {
    const notices: object[] = []
    const listener = (notice: unknown) => void notices.push(notice as object)
    subscribe(`typeorm-maintenance-mode:${topic}`, listener)
    try {
      await work()
    } finally {
      unsubscribe(`typeorm-maintenance-mode:${topic}`, listener)
    }
    return notices
  }

  it("publishes each change of the mode, with the DataSource", async () => {
    const { dataSource, maintenance } = installed.current
    const notices = await published("change", async () => {
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.leave({ as: "alice" })
    })
    const modes = notices.map((notice) => (notice as { status: { mode: string } }).status.mode)
    expect(modes).to.deep.equal(["concurrent", "normal"])
    for (const notice of notices) expect(notice).to.have.property("dataSource", dataSource)
  })

  it("publishes once that a window is overdue, with the DataSource and the status", async () => {
    const { dataSource, maintenance } = installed.current
    let status: unknown
    const notices = await published("overdue", async () => {
      let stop: (() => void) | undefined
      const told = new Promise<unknown>((resolve) => (stop = maintenance.on("overdue", resolve)))
      await maintenance.enter("concurrent", { as: "alice", plannedForMs: 1000 })
      status = await told
      stop?.()
      // Reads the overdue state once more.
      expect(await maintenance.status()).to.include({ isOverdue: true })
      await maintenance.leave({ as: "alice" })
    })
    expect(status).to.include({ mode: "concurrent", maintainer: "alice", isOverdue: true })
    expect(notices).to.deep.equal([{ dataSource, status }])
  })

  it("publishes each refusal, with the error that the caller receives", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    let veto: unknown
    const notices = await published("refused", async () => (veto = await write()))
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(notices).to.deep.equal([{ dataSource, error: veto }])
    await maintenance.leave({ as: "alice" })
  })

  it("publishes each warning of the process", async () => {
    const { maintenance } = installed.current
    const stop = maintenance.on("change", () => {
      throw new Error("a listener at fault")
    })
    const warned = warning(/a listener at fault/)
    const notices = await published("warning", async () => {
      await maintenance.enter("concurrent", { as: "alice" })
      stop()
      await maintenance.leave({ as: "alice" })
    })
    expect(notices).to.deep.equal([{ message: await warned }])
  })

  it("publishes a warning with the control characters of a reason escaped, on one line", async () => {
    const { maintenance } = installed.current
    const reason = "prices\r\n\u001b[2J\u202e"
    const notices = await published("warning", async () => {
      await maintenance.enter("concurrent", { as: "alice", reason })
      const warned = warning(/^The maintenance by alice/)
      await database.current.sql("select maintenance.leave('break-glass', true)")
      expect(await warned).to.include(String.raw`by alice (prices\r\n\u001b[2J\u202e) is over: `)
    })
    expect(notices).to.have.length(1)
    expect((notices[0] as { message: string }).message).to.not.match(/[\p{Cc}\u202e]/u)
  })

  it("leaves the caller alone when a logger of the application fails", async () => {
    const { dataSource, maintenance } = installed.current
    const { logger } = dataSource
    const logged: unknown[] = []
    const log = (level: string, message: unknown) => {
      logged.push([level, message])
      throw new Error("the disk of the log is full")
    }
    Object.assign(dataSource, { logger: { ...logger, log } })
    const stop = maintenance.on("change", () => {
      throw new Error("a listener at fault")
    })
    try {
      const warned = warning(/a listener at fault/)
      await maintenance.enter("concurrent", { as: "alice" })
      expect(logged).to.deep.equal([["warn", await warned]])
    } finally {
      stop()
      Object.assign(dataSource, { logger })
      await maintenance.leave({ as: "alice" })
    }
  })

  it("publishes the blockers of a drain", async () => {
    const { dataSource, maintenance } = installed.current
    const runner = dataSource.createQueryRunner()
    await runner.startTransaction()
    await runner.query("select 1")
    const notices = await published("draining", async () => {
      const stop = maintenance.on("draining", () => void runner.rollbackTransaction().catch(() => undefined))
      await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 60_000 } })
      stop()
    })
    await runner.release()
    await maintenance.leave({ as: "alice" })
    const [first] = notices as { draining: { blockers: readonly object[] } }[]
    expect(first?.draining.blockers).to.have.length(1)
  })
})
