import { expect } from "chai"
import type { Client } from "pg"
import { EnteringInterruptedError, StateUnavailableError } from "../../src"
import { channelOf, lockKeys } from "../../src/state/schema"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { statusThat } from "../support/until"
import { warning } from "../support/warning"
import { endWindowAfterEach } from "../support/window"

describe("While a session has locked the state", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  const withLock = <T>(text: string, work: (pid: number, client: Client) => Promise<T>) =>
    withClient(database.current.url, async (client) => {
      client.on("error", () => undefined)
      await client.query(`begin; ${text}`)
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
      return work((rows[0] as { pid: number }).pid, client)
    })

  it("a change of the mode fails and names the session, while the state is still read and enforced", async function () {
    this.timeout(40_000)
    const { dataSource, maintenance } = installed.current
    const { epoch } = await maintenance.enter("concurrent", { as: "alice" })
    await withLock("select from maintenance.state for update", async (pid) => {
      const error = await errorOf(maintenance.leave({ as: "alice" }))
      expect(error).to.be.instanceOf(StateUnavailableError)
      expect((error as Error).message).to.match(
        new RegExp(
          '^Mode not changed: other sessions have locked the table "maintenance"\\.state, which only this package should lock\\.\n' +
            `- backend ${pid} \\(idle in transaction\\)\nEnd it`,
        ),
      )
      expect(await maintenance.status()).to.include({ mode: "concurrent", epoch })
      const veto = await errorOf(dataSource.query("insert into audit (note) values ('veto')"))
      expect(veto).to.have.property("code", "MAINTENANCE_WRITE_VETOED")
    })
    await maintenance.leave({ as: "alice" })
  })

  it("that blocks reads, too, calls fail and commits wait, and an error and a single warning name the session", async () => {
    const { dataSource, maintenance } = installed.current
    await withLock("lock table maintenance.state in access exclusive mode", async (pid, client) => {
      const says = new RegExp(
        '^The maintenance state cannot be read, and commits wait: other sessions have locked the table "maintenance"\\.state, .*\\.\n' +
          `- backend ${pid} \\(`,
      )
      const warned = warning(says)
      await database.current.sql(`select pg_notify('${channelOf("maintenance")}', 'expiry')`)
      const writing = dataSource.query("insert into audit (note) values ('crate')")
      const error = await errorOf(maintenance.status())
      expect(error).to.be.instanceOf(StateUnavailableError)
      expect((error as Error).message).to.match(says)
      await warned
      await client.query("rollback")
      await writing
    })
  })

  it("an entering that is broken off is interrupted once the lock is released, though its process lives on", async () => {
    const { maintenance } = installed.current
    await withClient(database.current.url, async (blocker) => {
      await blocker.query("begin; select 1")
      for (const lock of [
        "select from maintenance.state for update",
        "lock table maintenance.state, maintenance.window in exclusive mode",
      ]) {
        const breakOff = new AbortController()
        const { signal } = breakOff
        const entering = errorOf(maintenance.enter("exclusive", { as: "alice", signal }))
        await statusThat(maintenance, ({ state }) => state === "entering")
        await withLock(lock, async () => {
          breakOff.abort()
          expect(await entering).to.be.instanceOf(EnteringInterruptedError)
        })
        const { mode, isInterrupted } = await statusThat(maintenance, (status) => status.isInterrupted)
        expect({ mode, isInterrupted }).to.deep.equal({ mode: "exclusive", isInterrupted: true })
        await maintenance.leave({ as: "alice" })
      }
      await blocker.query("rollback")
    })
  })

  it("a finished during() names the session in a warning, and ends its window once the lock is released", async () => {
    const { maintenance } = installed.current
    const said = new Promise<string>((resolve) => {
      const listen = ({ message }: Error) => {
        if (
          !message.startsWith(
            "The maintenance state cannot be read or changed. This process retries for another 29",
          )
        )
          return
        process.removeListener("warning", listen)
        resolve(message)
      }
      process.on("warning", listen)
    })
    await withClient(database.current.url, async (client) => {
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
      const done = maintenance.during("concurrent", { as: "alice" }, () =>
        client.query("begin; select from maintenance.state for update"),
      )
      expect(await said).to.include(`\n- backend ${rows[0]?.pid} (idle in transaction)`)
      await client.query("rollback")
      await done
    })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("enter() is aborted by an AbortSignal, and changes nothing", async () => {
    const { maintenance } = installed.current
    const { epoch } = await maintenance.status()
    await withLock("select from maintenance.state for update", async (_, client) => {
      const controller = new AbortController()
      const reason = new Error("no more")
      const error = errorOf(maintenance.enter("concurrent", { as: "alice", signal: controller.signal }))
      await client.query(`do $$ begin
        while not exists (select from pg_locks where locktype = 'advisory' and objsubid = 1) loop
          perform pg_sleep(0.005);
        end loop; end $$`)
      controller.abort(reason)
      expect(await error).to.equal(reason)
    })
    expect(await maintenance.status()).to.include({ mode: "normal", epoch })
  })

  it("a change of the mode waits for the lock if it is released soon", async () => {
    const { maintenance } = installed.current
    const entered = await withLock("select from maintenance.state for update", async (_, client) => {
      const entering = maintenance.enter("concurrent", { as: "alice" })
      // Longer than one attempt may take.
      await client.query("select pg_sleep(0.4); rollback")
      return entering
    })
    expect(entered).to.include({ mode: "concurrent" })
  })

  it("the DataSource can be destroyed, even if reads of the state wait", async () => {
    await withMaintenance(database.current.url, {}, async ({ dataSource, maintenance }) => {
      await withLock("lock table maintenance.state in access exclusive mode", async (pid, client) => {
        const error = errorOf(maintenance.status())
        await client.query(`do $$ begin
          while not exists (select from pg_stat_activity where ${pid} = any (pg_blocking_pids(pid))) loop
            perform pg_sleep(0.005); perform pg_stat_clear_snapshot();
          end loop; end $$`)
        await dataSource.destroy()
        expect(await error).to.be.instanceOf(Error)
      })
    })
  })

  for (const isolation of ["read committed", "repeatable read"] as const) {
    it(`in share mode only, no transaction can be prepared at the end of a window: ${isolation}`, async () => {
      const { dataSource, maintenance } = installed.current
      const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
      const runner = dataSource.createQueryRunner()
      await runner.query(`begin isolation level ${isolation}`)
      await runner.query("insert into audit (note) values ('prepared')")
      // Prevents the row from being marked as over.
      await withLock(`select pg_advisory_xact_lock_shared(${lockKeys("maintenance").hold})`, async () => {
        await database.current.sql("select pg_sleep_until($1)", [expiresAt])
        const error = await errorOf(runner.query(`prepare transaction 'shared_${process.pid}'`))
        expect(error).to.have.property("code", "40001")
      })
      await runner.release()
      const prepared = await database.current.sql(
        "select from pg_prepared_xacts where database = current_database()",
      )
      expect(prepared).to.have.length(0)
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
  }
})
