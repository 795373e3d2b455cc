import { expect } from "chai"
import { MaintenanceInputError } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { statusThat } from "../support/until"
import { endWindowAfterEach } from "../support/window"

describe("blockers()", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  /** Runs work while a client without the plugin has a transaction open; passes its process id. */
  const withTransaction = <T>(work: (pid: number) => Promise<T>, begin = "begin; select 1") =>
    withClient(database.current.url, async (client) => {
      await client.query(begin)
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
      const result = await work(rows[0]?.pid as number)
      await client.query("rollback")
      return result
    })
  const pidsOf = (blockers: readonly { pid: number | undefined }[]) => blockers.map(({ pid }) => pid)

  it("names the open transactions that exclusive mode would wait for, and changes nothing", async () => {
    const { maintenance } = installed.current
    const before = await maintenance.status()
    await withTransaction(async (pid) => {
      const [blocker, ...more] = await maintenance.blockers()
      expect(more).to.deep.equal([])
      expect(blocker).to.include({ pid, state: "idle in transaction", hasWritten: false })
    })
    expect(await maintenance.blockers()).to.deep.equal([])
    expect((await maintenance.status()).epoch).to.equal(before.epoch)
  })

  it("names only the commits under way for concurrent mode", async () => {
    const { maintenance } = installed.current
    await withTransaction(async () => {
      expect(await maintenance.blockers({ mode: "concurrent" })).to.deep.equal([])
      await withTransaction(async (pid) => {
        expect(pidsOf(await maintenance.blockers({ mode: "concurrent" }))).to.deep.equal([pid])
        expect(await maintenance.blockers({ mode: "exclusive" })).to.have.length(2)
      }, "begin; select txid_current(), maintenance.fence('bob', false)")
    })
  })

  it("names prepared transactions", async () => {
    const { maintenance } = installed.current
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select txid_current(); prepare transaction 'pay-77'")
      const found = await maintenance.blockers()
      await client.query("rollback prepared 'pay-77'")
      expect(found).to.have.length(1)
      expect(found[0]).to.include({ pid: undefined, transaction: "pay-77", state: "prepared" })
    })
  })

  it("leaves out the transactions of the one who asks, as far as they are known", async () => {
    const { dataSource, maintenance } = installed.current
    await dataSource.transaction(async (manager) => {
      await maintenance.runAs("alice", () => manager.query("select 1"))
      expect(await maintenance.blockers({ as: "alice" })).to.deep.equal([])
      expect(await maintenance.blockers({ as: "bob" })).to.have.length(1)
    })
  })

  it("names what is still waited for while a window is being entered by another process", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async (other) => {
      await withTransaction(async (pid) => {
        const entering = maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 60_000 } })
        entering.catch(() => undefined)
        const { windows } = await statusThat(other.maintenance, ({ state }) => state === "entering")
        // A transaction that begins later is not waited for.
        await withTransaction(async () => {
          expect(pidsOf(await other.maintenance.blockers())).to.deep.equal([pid])
        })
        const [window] = windows
        if (window?.position !== "entering") throw new Error("The window is not being entered.")
        expect(window.drainsUntil?.getTime()).to.equal(window.begunAt.getTime() + 60_000)
        expect(window.drainsThen).to.equal("abandon")
        await other.maintenance.leave({ as: "break-glass" })
        await errorOf(entering)
      })
    })
  })

  it("names what a concurrent window drains on request", async () => {
    const { maintenance } = installed.current
    await withTransaction(async (pid) => {
      const entering = maintenance.enter("concurrent", { as: "alice", drain: { withinMs: 60_000 } })
      entering.catch(() => undefined)
      await statusThat(maintenance, ({ state }) => state === "entering")
      expect(pidsOf(await maintenance.blockers())).to.deep.equal([pid])
      expect((await maintenance.status()).windows[0]).to.include({ drainsThen: "proceed" })
      await maintenance.leave({ as: "break-glass" })
      await errorOf(entering)
    })
  })

  it("refuses normal mode", async () => {
    const { maintenance } = installed.current
    expect(await errorOf(maintenance.blockers({ mode: "normal" as never }))).to.be.instanceOf(
      MaintenanceInputError,
    )
  })
})
