import { expect } from "chai"
import {
  type Draining,
  EnteringInterruptedError,
  OutcomeUnknownError,
  StateUnavailableError,
  type Maintenance,
  type MaintenanceStatus,
  NotMaintainerError,
} from "../../src"
import { withoutFence } from "../race/broken-variants"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { ledgerSql, post, posted, postSql } from "../support/ledger"
import { withShortenedTimers } from "../support/long-timers"
import { Proxy } from "../support/proxy"
import { endWindowAfterEach, notWaiting, windowOf } from "../support/window"
import { statusThat, until } from "../support/until"

/** The longest possible wait. The tests end it. */
const forever = { withinMs: 2 ** 31 - 1 }
const as = "alice"

/** A DataSource with the plugin, and the network between it and the server. */
interface Networked extends Installed {
  readonly proxy: Proxy
}

describe("A network fault", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => database.current.sql(ledgerSql))
  endWindowAfterEach(installed)

  const withNetwork = async <T>(work: (networked: Networked) => Promise<T>): Promise<T> => {
    const proxy = await Proxy.start(database.current.url)
    try {
      return await withMaintenance(proxy.url, {}, (one) => work({ ...one, proxy }))
    } finally {
      await proxy.stop()
    }
  }
  /** Resolves when this number of instances exists and all of them know the mode. */
  const allKnow = (count: number) =>
    statusThat(
      installed.current.maintenance,
      ({ epoch, instances }) => instances.length === count && instances.every((each) => each.epoch === epoch),
    )
  const firstDraining = (maintenance: Maintenance) =>
    new Promise<Draining>((resolve) => maintenance.on("draining", resolve))
  /** Checks that others write again, and that both sides of the network can enter and leave a window. */
  const assertWorks = async ({ dataSource, maintenance }: Networked): Promise<void> => {
    for (const one of [maintenance, installed.current.maintenance]) {
      await allKnow(2)
      const { unacknowledged } = await one.enter("concurrent", { as: "break-glass" })
      expect(unacknowledged).to.deep.equal([])
      expect(await post(dataSource)).to.equal("WriteVetoedError")
      await one.leave({ as: "break-glass" })
    }
    await allKnow(2)
    expect(await post(dataSource)).to.equal("done")
  }

  it("at any step of enter() leaves the state before or after it", async () => {
    await withNetwork(async (networked) => {
      const { proxy, dataSource, maintenance } = networked
      let isDone = false
      for (let step = 1; !isDone; step++) {
        for (const arrives of [false, true]) {
          const before = await allKnow(2)
          const hold = proxy.holdAt(step, "request")
          const entered = errorOf(maintenance.enter("concurrent", { as }))
          const came = await Promise.race([entered.then(() => "entered"), hold.reached])
          isDone = came === "entered"
          if (arrives || isDone) hold.pass()
          await proxy.cutAll()
          hold.pass()
          const error = await entered
          expect(error).not.to.be.instanceOf(NotMaintainerError)
          const report = await statusThat(
            installed.current.maintenance,
            ({ instances }) => instances.length === 2,
          )
          if (report.mode === "normal") {
            expect(error).to.be.instanceOf(Error)
            expect(windowOf(report)).to.deep.equal(windowOf(before))
          } else {
            expect(report).to.include({ mode: "concurrent", maintainer: as, epoch: before.epoch + 1 })
            if (!error) expect(report).to.include({ state: "concurrent", isInterrupted: false })
            expect(await post(dataSource)).to.equal("WriteVetoedError")
          }
          await assertWorks(networked)
        }
      }
    })
  })

  it("without any connection makes a change of the mode fail with an error that permits a retry", async () => {
    await withNetwork(async ({ proxy, maintenance }) => {
      await maintenance.enter("concurrent", { as })
      proxy.refuse(true)
      await proxy.cutAll()
      // From now on the connection is known to be lost.
      expect(await errorOf(maintenance.status())).to.be.instanceOf(Error)
      const error = await errorOf(maintenance.leave({ as }))
      expect(error).to.be.instanceOf(StateUnavailableError).and.include({ isDestroyed: false })
      expect((error as Error).message).to.match(/^Mode not changed: the database cannot be reached/)
      proxy.refuse(false)
      await maintenance.leave({ as })
    })
  })

  it("that delivers an abandoned leave() late does not end the next window", async () => {
    await withNetwork(async ({ proxy, dataSource, maintenance }) => {
      await maintenance.enter("concurrent", { as })
      proxy.silence()
      const error = await errorOf(maintenance.leave({ as }))
      expect(error).to.be.instanceOf(OutcomeUnknownError)
      expect((error as Error).message).to.match(/^Could not determine whether the mode was changed: /)
      await maintenance.leave({ as })
      const { epoch, unacknowledged } = await maintenance.enter("concurrent", { as })
      expect(unacknowledged).to.deep.equal([])
      proxy.thaw()
      // The former watch has received everything and is gone.
      const watches =
        "select from pg_stat_activity where application_name = 'typeorm-maintenance-mode' and datname = current_database()"
      await until(async () => (await database.current.sql(watches)).length <= 2)
      expect(await installed.current.maintenance.status()).to.include({ mode: "concurrent", epoch })
      expect(await post(dataSource)).to.equal("WriteVetoedError")
      await maintenance.leave({ as })
    })
  })

  it("at any message of a write stores it entirely or not at all, and never once a window is entered", async () => {
    const writes = [[postSql], ["begin", postSql, "commit"], ["call post('x')"]]
    await withNetwork(async ({ proxy, dataSource }) => {
      const { maintenance } = installed.current
      for (const texts of writes) {
        let isDone = false
        for (let step = 1; !isDone; step++) {
          for (const arrives of [false, true]) {
            await allKnow(2)
            const runner = dataSource.createQueryRunner()
            const write = async () => {
              for (const text of texts) await runner.query(text)
            }
            const hold = proxy.holdAt(step, "message")
            const written = errorOf(write())
            isDone = (await Promise.race([written.then(() => true), hold.reached])) === true
            if (isDone) hold.pass()
            const entering = maintenance
              .enter("concurrent", { as, drain: notWaiting })
              .then(() => posted(database.current))
            const report = await statusThat(maintenance, ({ mode }) => mode !== "normal")
            const holders = await database.current.sql("select maintenance.holders($1)", [report.epoch])
            if (holders.length === 0) await entering
            if (arrives) hold.pass()
            await hold.cut()
            await written
            await runner.query("rollback").catch(() => undefined)
            await runner.release()
            expect(await posted(database.current), `${texts.join()} at ${step}`).to.equal(await entering)
            await maintenance.leave({ as })
          }
        }
      }
      await allKnow(2)
      expect(await post(dataSource)).to.equal("done")
    })
  })

  it("that delays everything lets no write through, whichever side enters", async () => {
    await withNetwork(async (networked) => {
      const { proxy, dataSource, maintenance } = networked
      const writes = [
        () => post(dataSource),
        () => errorOf(dataSource.transaction((manager) => manager.query(postSql))),
        () => errorOf(dataSource.transaction("REPEATABLE READ", (manager) => manager.query(postSql))),
        () => errorOf(dataSource.query("call post('x')")),
      ]
      const rowsBefore = await posted(database.current)
      proxy.delay(20)
      for (let round = 0; round < 8; round++) {
        const one = round % 4 < 2 ? maintenance : installed.current.maintenance
        const writing = writes.map((write) => write())
        if (round % 2 === 0) await Promise.race(writing)
        await one.enter("concurrent", { as, drain: notWaiting })
        const rows = await posted(database.current)
        await Promise.all(writing)
        expect(await post(dataSource)).to.equal("WriteVetoedError")
        expect(await posted(database.current)).to.equal(rows)
        await one.leave({ as })
        await allKnow(2)
      }
      expect(await posted(database.current)).to.be.greaterThan(rowsBefore)
      proxy.delay(0)
      await assertWorks(networked)
    })
  })

  /**
   * Enters while an instance that is about to write is cut off half-open. Resolves with the number of its
   * rows stored then.
   */
  const writtenWhenThawed = async ({ proxy, dataSource, maintenance }: Networked): Promise<number> => {
    const other = installed.current.maintenance
    const [, cutOff] = (await other.status()).instances
    proxy.freeze()
    const writing = post(dataSource)
    const looking = maintenance.status()
    const { unacknowledged } = await other.enter("concurrent", { as, acknowledgeWithinMs: 50 })
    expect(unacknowledged.map(({ id }) => id)).to.deep.equal([cutOff?.id])
    const rows = await posted(database.current)
    proxy.thaw()
    await writing
    expect(await looking).to.include({ mode: "concurrent", maintainer: as })
    return (await posted(database.current)) - rows
  }

  it("that leaves an instance half-open makes enter() name it; the instance cannot write, and recovers", async () => {
    await withNetwork(async (networked) => {
      expect(await writtenWhenThawed(networked)).to.equal(0)
      expect(await post(networked.dataSource)).to.equal("WriteVetoedError")
      await allKnow(2)
      await installed.current.maintenance.leave({ as })
      await assertWorks(networked)
    })
  })

  it("that leaves an instance half-open is detected to leak without the fence", async () => {
    const restore = await withoutFence(database.current)
    try {
      expect(await withNetwork(writtenWhenThawed)).to.equal(1)
    } finally {
      await restore()
    }
  })

  it("that holds up a commit lets enter() terminate it, if the drain options say so", async () => {
    await withNetwork(async (networked) => {
      const { proxy, dataSource } = networked
      const { maintenance } = installed.current
      const runner = dataSource.createQueryRunner()
      await runner.query("begin")
      await runner.query(postSql)
      const { epoch } = await maintenance.status()
      // The fence arrives, but not the rest.
      const hold = proxy.holdAt(5, "message")
      const committed = errorOf(runner.query("commit"))
      await hold.reached
      const isHeld = async () =>
        (await database.current.sql("select maintenance.holders($1)", [epoch + 1])).length > 0
      await until(isHeld)
      const rows = await posted(database.current)
      const drain = { withinMs: 0, then: "terminate" } as const
      await maintenance.enter("concurrent", { as, drain })
      hold.pass()
      expect(await committed).to.be.instanceOf(Error)
      expect(await posted(database.current)).to.equal(rows)
      await maintenance.leave({ as })
      await runner.release()
      await assertWorks(networked)
    })
  })

  it("that cuts off a waiting enter() lets it continue", async () => {
    await withNetwork(async (networked) => {
      const { proxy, maintenance } = networked
      await withClient(database.current.url, async (client) => {
        await client.query("begin")
        const told = firstDraining(maintenance)
        const entered = maintenance.enter("exclusive", { as, drain: forever })
        await told
        await proxy.cutAll()
        await statusThat(
          installed.current.maintenance,
          ({ state, instances }) => state === "entering" && instances.length === 2,
        )
        await client.query("rollback")
        expect((await entered).unacknowledged).to.deep.equal([])
      })
      expect(await installed.current.maintenance.status()).to.include({
        state: "exclusive",
        isInterrupted: false,
      })
      await maintenance.leave({ as })
      await assertWorks(networked)
    })
  })

  it("that cuts off enter() during the wait for instances lets it continue", async () => {
    await withNetwork(async (networked) => {
      await withNetwork(async ({ proxy: silent }) => {
        const { proxy, maintenance } = networked
        silent.freeze()
        const { arrived } = proxy.holdAt(Number.MAX_SAFE_INTEGER, "request")
        const entered = maintenance.enter("concurrent", { as, acknowledgeWithinMs: forever.withinMs })
        entered.catch(() => undefined)
        await until(() => arrived.some((bytes) => bytes.includes("instances(")))
        await proxy.cutAll()
        await statusThat(installed.current.maintenance, ({ instances }) => instances.length === 3)
        silent.thaw()
        expect((await entered).unacknowledged).to.deep.equal([])
        expect(await maintenance.status()).to.include({ state: "concurrent", isInterrupted: false })
        await maintenance.leave({ as })
      })
      await assertWorks(networked)
    })
  })

  it("that cuts off enter() leaves no window reported as entering once enter() has rejected", async () => {
    await withNetwork(async (networked) => {
      const { proxy, maintenance } = networked
      const found: string[] = []
      let isDone = false
      for (let step = 1; !isDone; step++) {
        await allKnow(2)
        const hold = proxy.holdAt(step, "request")
        const entered = errorOf(maintenance.enter("concurrent", { as }))
        isDone = (await Promise.race([entered.then(() => true), hold.reached])) === true
        hold.pass()
        await proxy.cutAll()
        const error = await entered
        const { mode, state } = await allKnow(2)
        if (error && state === "entering") found.push(`at step ${step}`)
        if (mode !== "normal") await maintenance.leave({ as })
      }
      expect(found).to.deep.equal([])
    })
  })

  it("that leaves a maintainer half-open ends a window that is tied to the process", async () => {
    await withNetwork(async (networked) => {
      const { proxy, dataSource, maintenance } = networked
      await maintenance.enter("concurrent", { as, heldWhile: "alive", graceMs: 1000 })
      proxy.freeze()
      expect(await post(installed.current.dataSource)).to.equal("WriteVetoedError")
      await statusThat(installed.current.maintenance, ({ mode }) => mode === "normal")
      expect(await post(installed.current.dataSource)).to.equal("done")
      proxy.thaw()
      expect(await maintenance.status()).to.include({ mode: "normal" })
      expect(await post(dataSource)).to.equal("done")
      await assertWorks(networked)
    })
  })

  it("that silently drops the watch in normal mode does not let the process answer forever in exclusive mode", async () => {
    await withShortenedTimers(() =>
      withNetwork(async ({ proxy, dataSource, maintenance }) => {
        const other = installed.current.maintenance
        // The pool then opens new connections, which work.
        await dataSource.query("select pg_terminate_backend(pg_backend_pid())").catch(() => undefined)
        proxy.silence()
        // A change by a DataSource of this process would be known to it.
        await database.current.sql("select maintenance.enter('exclusive', $1, false, null)", [as])
        // All instances except this one know the mode.
        await statusThat(
          other,
          ({ epoch, instances }) => instances.filter((instance) => instance.epoch < epoch).length === 1,
        )
        const read = async () => {
          const runner = dataSource.createQueryRunner()
          try {
            await runner.startTransaction()
            await runner.query("select 1")
            return "answered"
          } catch (error) {
            return (error as Error).constructor.name
          } finally {
            await runner.rollbackTransaction().catch(() => undefined)
            await runner.release()
          }
        }
        let answer: string | undefined
        await until(async () => (answer = await read()) !== "answered")
        expect(answer).to.equal("AccessRefusedError")
        proxy.thaw()
        await other.leave({ as })
        await maintenance.status()
      }),
    )
  })

  it("that blocks the connection lets an AbortSignal end enter(), whose error says that the mode may be in force", async () => {
    await withShortenedTimers(() =>
      withNetwork(async ({ proxy, maintenance }) => {
        await withClient(database.current.url, async (client) => {
          await client.query("begin; select 1")
          const controller = new AbortController()
          const told = firstDraining(maintenance)
          const { signal } = controller
          const error = errorOf(maintenance.enter("exclusive", { as, drain: forever, signal }))
          await told
          proxy.freeze()
          controller.abort()
          // Depends on whether the request to restore the mode was sent before the connection froze.
          expect(await error).to.satisfy(
            (thrown: unknown) =>
              thrown instanceof EnteringInterruptedError || thrown instanceof OutcomeUnknownError,
          )
          await client.query("rollback")
        })
        proxy.thaw()
        await installed.current.maintenance.leave({ as })
      }),
    )
  })

  it("that silently drops the watch does not let the process refuse forever: it learns that the window is over", async () => {
    await withNetwork(async ({ proxy, dataSource, maintenance }) => {
      const other = installed.current.maintenance
      await other.enter("exclusive", { as, drain: notWaiting })
      proxy.silence()
      // A change by a DataSource of this process would be known to it.
      await database.current.sql("select maintenance.leave($1, false)", [as])
      expect(await post(dataSource)).to.equal("AccessRefusedError")
      const { mode } = await new Promise<MaintenanceStatus>((resolve) => maintenance.on("change", resolve))
      expect(mode).to.equal("normal")
      proxy.thaw()
      expect(await post(dataSource)).to.equal("done")
    })
  })
})
