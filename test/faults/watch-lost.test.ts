import { expect } from "chai"
import type { Instance } from "../../src"
import { lockKeys } from "../../src/state/schema"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { ledgerSql, post, posted, postSql } from "../support/ledger"
import { Proxy } from "../support/proxy"
import { statusThat } from "../support/until"
import { endWindowAfterEach } from "../support/window"

/** The longest possible wait. The tests end it. */
const forever = { withinMs: 2 ** 31 - 1 }
const as = "alice"
const everything = Number.MAX_SAFE_INTEGER

describe("An idle watch", () => {
  const database = useDatabase()

  it("is not ended by idle_session_timeout", async () => {
    await database.current.sql(
      "do $$ begin execute format('alter database %I set idle_session_timeout = 300', current_database()); end $$",
    )
    await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
      const before = (await maintenance.status()).instances
      await withClient(database.current.url, async (client) => {
        await client.query("select pg_sleep(1)")
      })
      expect((await maintenance.status()).instances).to.deep.equal(before)
    })
  })
})

describe("A watch whose backend was terminated", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => database.current.sql(ledgerSql))
  endWindowAfterEach(installed)

  /** Resolves with the later instance when two instances know the mode. */
  const bothKnow = async (): Promise<Instance> => {
    const { instances } = await statusThat(
      installed.current.maintenance,
      ({ epoch, instances: known }) => known.length === 2 && known.every((each) => each.epoch === epoch),
    )
    return instances[1] as Instance
  }
  /** Ends the watch of an instance, which cannot reconnect until `back` is called. */
  const withoutWatch = async (
    work: (one: Installed & { proxy: Proxy; lose(): Promise<void>; back(): Promise<void> }) => Promise<void>,
  ): Promise<void> => {
    const proxy = await Proxy.start(database.current.url)
    let lost: Instance
    const lose = async () => {
      lost = await bothKnow()
      proxy.refuse(true)
      await database.current.sql(
        `select pg_terminate_backend(pid, 60000) from pg_locks
         where locktype = 'advisory' and classid = ${lockKeys("maintenance").presence} and objid = $1`,
        [lost.id],
      )
      await statusThat(installed.current.maintenance, ({ instances }) => instances.length === 1)
    }
    const back = async () => {
      proxy.refuse(false)
      expect((await bothKnow()).id).to.be.greaterThan(lost.id)
    }
    try {
      // With a single connection, which stays.
      await withMaintenance(proxy.url, { poolSize: 1 }, (one) => work({ ...one, proxy, lose, back }))
    } finally {
      await proxy.stop()
    }
  }
  /** The outcome of a write, and whether any of it was sent. */
  const attempt = async ({ dataSource, proxy }: Installed & { proxy: Proxy }): Promise<object> => {
    const { arrived } = proxy.holdAt(everything, "message")
    const outcome = await post(dataSource)
    return { outcome, isSent: arrived.some((bytes) => bytes.includes(postSql)) }
  }

  it("in normal mode lets its process write, leaves refusals to the fence meanwhile, and registers again", async () => {
    await withoutWatch(async (one) => {
      const { maintenance } = installed.current
      await one.lose()
      expect(await attempt(one)).to.deep.equal({ outcome: "done", isSent: true })
      for (const [mode, outcome] of [
        ["concurrent", "WriteVetoedError"],
        ["exclusive", "AccessRefusedError"],
      ] as const) {
        const { unacknowledged } = await maintenance.enter(mode, { as })
        expect(unacknowledged).to.deep.equal([])
        const rows = await posted(database.current)
        expect(await attempt(one)).to.deep.equal({ outcome, isSent: true })
        expect(await posted(database.current)).to.equal(rows)
      }
      await one.back()
      expect(await attempt(one)).to.deep.equal({ outcome: "AccessRefusedError", isSent: false })
      await maintenance.leave({ as })
      await bothKnow()
      expect(await attempt(one)).to.deep.equal({ outcome: "done", isSent: true })
    })
  })

  it("knows nothing until it is back, and then the mode that was entered meanwhile", async () => {
    await withoutWatch(async (one) => {
      const { maintenance } = installed.current
      const known = () => one.maintenance.known
      await bothKnow()
      expect(known()).to.include({ mode: "normal" })
      await one.lose()
      expect(known()).to.equal(undefined)
      const { epoch } = await maintenance.enter("concurrent", { as })
      expect(known()).to.equal(undefined)
      await one.back()
      expect(known()).to.include({ mode: "concurrent", maintainer: as, epoch })
      await maintenance.leave({ as })
    })
  })

  it("in exclusive mode refuses nothing early until it is back, and allows nothing that must be refused", async () => {
    await withoutWatch(async (one) => {
      const { maintenance } = installed.current
      await maintenance.enter("exclusive", { as })
      await bothKnow()
      expect(await attempt(one)).to.deep.equal({ outcome: "AccessRefusedError", isSent: false })
      await one.lose()
      const rows = await posted(database.current)
      expect(await attempt(one)).to.deep.equal({ outcome: "AccessRefusedError", isSent: true })
      expect(await posted(database.current)).to.equal(rows)
      expect(await one.maintenance.runAs(as, () => attempt(one))).to.include({ outcome: "done" })
      await maintenance.leave({ as })
      expect(await attempt(one)).to.deep.equal({ outcome: "done", isSent: true })
      await maintenance.enter("exclusive", { as })
      await one.back()
      expect(await attempt(one)).to.deep.equal({ outcome: "AccessRefusedError", isSent: false })
    })
  })

  it("in concurrent mode lets its process read but not write, and registers again", async () => {
    await withoutWatch(async (one) => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as })
      await one.lose()
      const rows = await posted(database.current)
      expect(await one.dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
      expect(await attempt(one)).to.deep.equal({ outcome: "WriteVetoedError", isSent: true })
      expect(await posted(database.current)).to.equal(rows)
      await one.back()
      expect(await attempt(one)).to.include({ outcome: "WriteVetoedError" })
      await maintenance.leave({ as })
      await bothKnow()
      expect(await attempt(one)).to.deep.equal({ outcome: "done", isSent: true })
    })
  })

  for (const who of ["its own process", "another process"]) {
    it(`lets ${who} continue to enter a mode, and leaves refusals meanwhile to the fence`, async () => {
      await withoutWatch(async (one) => {
        const { maintenance } = who === "its own process" ? one : installed.current
        await withClient(database.current.url, async (client) => {
          await client.query("begin")
          const told = new Promise((resolve) => maintenance.on("draining", resolve))
          const entered = maintenance.enter("exclusive", { as, drain: forever })
          await told
          await one.lose()
          const rows = await posted(database.current)
          expect(await attempt(one)).to.deep.equal({ outcome: "AccessRefusedError", isSent: true })
          expect(await posted(database.current)).to.equal(rows)
          await one.back()
          await statusThat(
            installed.current.maintenance,
            ({ state, isInterrupted }) => state === "entering" && !isInterrupted,
          )
          await client.query("rollback")
          expect((await entered).unacknowledged).to.deep.equal([])
        })
        expect(await attempt(one)).to.deep.equal({ outcome: "AccessRefusedError", isSent: false })
        await maintenance.leave({ as })
        await bothKnow()
        expect(await attempt(one)).to.deep.equal({ outcome: "done", isSent: true })
      })
    })
  }
})
