import { expect } from "chai"
import {
  DrainTimeoutError,
  EnteringInterruptedError,
  type Maintenance,
  NotMaintainerError,
  WindowEndedError,
} from "../../src"
import { Barrier } from "../support/barrier"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { firstDraining } from "../support/draining"
import { errorOf } from "../support/error-of"
import { Member } from "../support/members"
import { Proxy } from "../support/proxy"
import { openShop } from "../support/shop"
import { until } from "../support/until"
import { endWindowAfterEach } from "../support/window"

/** The longest possible wait. The tests end it. */
const forever = { withinMs: 2 ** 31 - 1 }
const patient = { acknowledgeWithinMs: 2 ** 31 - 1 }
/** An address where nothing listens. */
const nowhere = "postgres://postgres@127.0.0.1:9/nobody"

describe("Entering a mode under disturbances", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  /** Runs while a client without the plugin has an open transaction. */
  const withBystander = <T>(work: (rollBack: () => Promise<unknown>) => Promise<T>) =>
    withClient(database.current.url, async (client) => {
      client.on("error", () => undefined)
      await client.query("begin; insert into audit (note) values ('bystander')")
      return work(() => client.query("rollback"))
    })
  /** Runs while a process of the fleet does not respond, so that enter() waits for it. */
  const withStopped = async <T>(work: () => Promise<T>): Promise<T> => {
    const member = await Member.start(database.current.url)
    member.signal("SIGSTOP")
    try {
      return await work()
    } finally {
      member.signal("SIGCONT")
      await member.stop()
    }
  }
  const state = async () => {
    const { mode, state: current, isInterrupted } = await installed.current.maintenance.status()
    return { mode, state: current, isInterrupted }
  }
  const entering = async () => {
    await until(async () => (await installed.current.maintenance.status()).state === "entering")
  }
  const leaveElsewhere = () =>
    withMaintenance(database.current.url, {}, ({ maintenance }) => maintenance.leave({ as: "break-glass" }))

  it("does not resolve if the window ends during the wait for instances, and during() does not run its work", async () => {
    const { maintenance } = installed.current
    const options = { as: "alice", acknowledgeWithinMs: 1000 }
    let hasRun = false
    await withStopped(async () => {
      for (const enter of [
        () => maintenance.enter("exclusive", options),
        () => maintenance.during("exclusive", options, () => (hasRun = true)),
      ]) {
        const error = errorOf(enter())
        await entering()
        await leaveElsewhere()
        expect(await error).to.be.instanceOf(WindowEndedError)
        expect(await state()).to.include({ mode: "normal", isInterrupted: false })
      }
    })
    expect(hasRun).to.equal(false)
  })

  it("is aborted by an AbortSignal during the wait for instances", async () => {
    const { maintenance } = installed.current
    await withStopped(async () => {
      const controller = new AbortController()
      const { signal } = controller
      const error = errorOf(maintenance.enter("exclusive", { as: "alice", ...patient, signal }))
      await entering()
      const reason = new Error("no more")
      controller.abort(reason)
      expect(await error).to.equal(reason)
    })
    expect(await state()).to.deep.equal({ mode: "normal", state: "normal", isInterrupted: false })
  })

  it("is superseded if the same maintainer enters again; if that fails, the mode before both is restored", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, (other) =>
      withBystander(async () => {
        const told = firstDraining(maintenance)
        const first = errorOf(maintenance.enter("concurrent", { as: "alice", drain: forever }))
        await told
        const second = errorOf(
          other.maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 100 } }),
        )
        expect(await first).to.be.instanceOf(WindowEndedError)
        expect(await second).to.be.instanceOf(DrainTimeoutError)
        expect(await state()).to.deep.equal({ mode: "normal", state: "normal", isInterrupted: false })
      }),
    )
  })

  it("is superseded by a take-over; after that, the window before both is restored", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    await withMaintenance(database.current.url, {}, (other) =>
      withBystander(async () => {
        const told = firstDraining(maintenance)
        const first = errorOf(maintenance.enter("exclusive", { as: "alice", reason: "move", drain: forever }))
        await told
        await other.maintenance.during("concurrent", { as: "break-glass" }, async () => {
          expect(await first).to.be.instanceOf(WindowEndedError)
        })
        expect(await other.maintenance.status()).to.include({
          mode: "concurrent",
          maintainer: "alice",
          reason: "rebuild",
          isInterrupted: false,
        })
      }),
    )
  })

  it("stays interrupted if its process is gone, even after another entering that was abandoned", async () => {
    const { maintenance } = installed.current
    await withBystander(async () => {
      const member = await Member.start(database.current.url)
      const entered = errorOf(member.enter("exclusive", { as: "alice", drain: forever }))
      await entering()
      member.signal("SIGKILL")
      await entered
      await until(async () => (await state()).state !== "entering")
      const interrupted = { mode: "exclusive", state: "exclusive", isInterrupted: true }
      expect(await state()).to.deep.equal(interrupted)
      for (const as of ["alice", "break-glass"]) {
        const error = await errorOf(maintenance.enter("exclusive", { as, drain: { withinMs: 0 } }))
        expect(error).to.be.instanceOf(DrainTimeoutError)
        expect(await state()).to.deep.equal(interrupted)
      }
    })
  })

  it("is interrupted by transfer(); the window stays in force for the new maintainer, and nobody waits", async () => {
    const { maintenance } = installed.current
    await withBystander(async () => {
      const told = firstDraining(maintenance)
      const error = errorOf(maintenance.enter("exclusive", { as: "alice", drain: forever }))
      await told
      await maintenance.transfer({ as: "alice", to: "bob" })
      expect(await error).to.be.instanceOf(WindowEndedError)
      expect(await state()).to.deep.equal({ mode: "exclusive", state: "exclusive", isInterrupted: true })
      await maintenance.enter("exclusive", { as: "bob", drain: { withinMs: 0, then: "proceed" } })
      expect(await state()).to.deep.equal({ mode: "exclusive", state: "exclusive", isInterrupted: false })
    })
  })

  it("continues after the server was unreachable for a while", async function () {
    this.timeout(180_000)
    const proxy = await Proxy.start(database.current.url)
    await withMaintenance(proxy.url, {}, async ({ maintenance }) => {
      await withBystander(async (rollBack) => {
        const told = firstDraining(maintenance)
        const entered = maintenance.enter("exclusive", { as: "alice", drain: forever })
        await told
        proxy.redirect(nowhere)
        await until(async () => (await state()).state !== "entering")
        expect(await state()).to.include({ mode: "exclusive", isInterrupted: true })
        proxy.redirect(database.current.url)
        await entering()
        await rollBack()
        expect(await entered).to.include({ mode: "exclusive" })
      })
      expect(await state()).to.deep.equal({ mode: "exclusive", state: "exclusive", isInterrupted: false })
    })
    await proxy.stop()
  })

  for (const answer of ["before", "after"] as const) {
    it(`takes effect only once if the connection is lost ${answer} the server has received a call`, async () => {
      const proxy = await Proxy.start(database.current.url)
      await withMaintenance(proxy.url, {}, async ({ maintenance }) => {
        const { epoch } = await maintenance.status()
        proxy.cutNext(answer)
        expect(await maintenance.enter("concurrent", { as: "alice" })).to.include({ epoch: epoch + 1 })
        proxy.cutNext(answer)
        await maintenance.leave({ as: "alice" })
        expect(await maintenance.status()).to.include({ mode: "normal", epoch: epoch + 2 })
        await maintenance.during("concurrent", { as: "alice" }, () => proxy.cutNext(answer))
        expect(await maintenance.status()).to.include({ mode: "normal", epoch: epoch + 4 })
      })
      await proxy.stop()
    })
  }

  /** Runs `meanwhile` after a call was made and before it is retried, because its answer was lost. */
  const withLostAnswer = async (
    call: (maintenance: Maintenance) => Promise<unknown>,
    meanwhile: () => Promise<unknown>,
  ): Promise<unknown> => {
    const proxy = await Proxy.start(database.current.url)
    const result = await withMaintenance(proxy.url, {}, async ({ maintenance }) => {
      await maintenance.status()
      const { epoch } = await installed.current.maintenance.status()
      const hold = proxy.holdAt(1, "request")
      const called = errorOf(call(maintenance))
      await hold.reached
      proxy.refuse(true)
      hold.pass()
      await proxy.cutAll()
      await until(async () => (await installed.current.maintenance.status()).epoch !== epoch)
      await meanwhile()
      proxy.refuse(false)
      return called
    })
    await proxy.stop()
    return result
  }

  for (const [who, next] of [
    ["alice", "alice"],
    ["break-glass", "bob"],
  ] as const) {
    it(`is not undone by a retried leave() of ${who} that had already taken effect`, async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      const error = await withLostAnswer(
        (far) => far.leave({ as: who }),
        () => maintenance.enter("concurrent", { as: next, reason: "next" }),
      )
      expect(error).to.equal(undefined)
      expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: next, reason: "next" })
    })
  }

  it("is not repeated by a retried enter() whose window has ended meanwhile", async () => {
    const error = await withLostAnswer((far) => far.enter("concurrent", { as: "alice" }), leaveElsewhere)
    expect(error).to.be.instanceOf(WindowEndedError)
    expect(await state()).to.include({ mode: "normal" })
  })

  it("does not take effect late after its retry was refused because another user entered meanwhile", async () => {
    const proxy = await Proxy.start(database.current.url)
    const voided = async () =>
      (await database.current.sql("select from maintenance.change where kind = 'void'")).length
    const before = await voided()
    await withMaintenance(proxy.url, {}, async ({ maintenance }) => {
      await maintenance.status()
      const hold = proxy.holdAt(1, "request")
      const error = errorOf(maintenance.enter("concurrent", { as: "alice" }))
      await hold.reached
      await installed.current.maintenance.enter("concurrent", { as: "bob", acknowledgeWithinMs: 0 })
      await proxy.cutAll()
      expect(await error).to.be.instanceOf(NotMaintainerError)
      // The delayed call has no effect from now on.
      await until(async () => (await voided()) !== before)
    })
    await proxy.stop()
  })

  it("leaves no announcement once it is void", async () => {
    const { maintenance } = installed.current
    const error = errorOf(maintenance.enter("concurrent", { as: "alice", startsInMs: 3_600_000 }))
    await until(async () => (await maintenance.status()).announced)
    await database.current.sql(
      "select maintenance.void(array(select id from maintenance.window where position = 'announced'))",
    )
    expect(await error).to.be.instanceOf(WindowEndedError)
    expect(await maintenance.status()).not.to.have.property("announced")
  })

  it("leaves no unhandled rejection, whenever it is aborted", async () => {
    const { maintenance } = installed.current
    for (let turns = 0; turns < 60; turns++) {
      const controller = new AbortController()
      const { signal } = controller
      const entered = errorOf(maintenance.enter("exclusive", { as: "alice", drain: forever, signal }))
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
      // An unhandled rejection would end this process.
      controller.abort()
      if ((await entered) === undefined) await maintenance.leave({ as: "alice" })
      expect(await state()).to.include({ mode: "normal" })
    }
  })

  it("leads to only one transfer if transfer() is retried", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const error = await withLostAnswer(
      (far) => far.transfer({ as: "alice", to: "bob" }),
      () => Promise.resolve(),
    )
    expect(error).to.equal(undefined)
    expect(await maintenance.status()).to.include({ maintainer: "bob" })
  })

  it("ends an idle session that still holds what a statement of its stopped process took", async () => {
    const { maintenance } = installed.current
    const member = await Member.start(database.current.url)
    await database.current.sql(
      "create procedure slowly() language plpgsql as 'begin perform pg_advisory_lock(816); commit; end'",
    )
    const told = firstDraining(maintenance)
    await withClient(database.current.url, async (client) => {
      await client.query("select pg_advisory_lock(816)")
      const called = member.run("call slowly()")
      const waiting = "select from pg_locks where locktype = 'advisory' and not granted and objid = 816"
      await until(async () => (await database.current.sql(waiting)).length > 0)
      member.signal("SIGSTOP")
      await client.query("select pg_advisory_unlock(816)")
      const idle =
        "select from pg_stat_activity where query = 'call slowly()' and state = 'idle' and datname = current_database()"
      await until(async () => (await database.current.sql(idle)).length > 0)
      const drain = { withinMs: 100, then: "terminate" } as const
      await maintenance.enter("exclusive", { as: "alice", drain, acknowledgeWithinMs: 50 })
      const [blocker] = (await told).blockers
      expect(blocker).to.include({ transaction: `session ${blocker?.pid}`, query: "call slowly()" })
      member.signal("SIGCONT")
      // The statement had already finished.
      expect(await called).to.equal("done")
    })
    expect(await member.run("select 1")).not.to.equal("done")
    await member.stop()
  })

  it("rejects if the DataSource is destroyed, and the error says that the mode is in force", async () => {
    await withBystander(async () => {
      let error: unknown
      await withMaintenance(database.current.url, {}, async ({ dataSource, maintenance }) => {
        const told = firstDraining(maintenance)
        const entered = errorOf(maintenance.enter("exclusive", { as: "alice", drain: forever }))
        await told
        await dataSource.destroy()
        error = await entered
      })
      expect(error).to.be.instanceOf(EnteringInterruptedError)
      expect((error as Error).message).to.match(
        /^The mode is in force, but enter\(\) did not finish waiting: .*destroyed/,
      )
      await until(async () => (await state()).state !== "entering")
      expect(await state()).to.deep.equal({ mode: "exclusive", state: "exclusive", isInterrupted: true })
    })
    const watches = await database.current.sql(
      "select from pg_stat_activity where application_name = 'typeorm-maintenance-mode' and datname = current_database()",
    )
    expect(watches).to.have.length(1)
  })

  it("leaves its window in force if blockers cannot be read, but ends that of a task, which does not run", async () => {
    const { maintenance } = installed.current
    const rename = (from: string, to: string) =>
      database.current.sql(`alter function maintenance.${from}(integer, text) rename to ${to}`)
    await rename("waited_for", "lost")
    try {
      const task = () => expect.fail("the task ran")
      const error = (await errorOf(maintenance.during("concurrent", { as: "alice" }, task))) as Error
      expect(error).to.be.instanceOf(EnteringInterruptedError)
      expect(error.message).to.match(
        /^The task did not run, because during\(\) did not finish waiting: .*waited_for[^]*\nThe previous mode is in force again\.$/,
      )
      expect(await state()).to.include({ mode: "normal", isInterrupted: false })
      const left = (await errorOf(maintenance.enter("concurrent", { as: "alice" }))) as Error
      expect(left).to.be.instanceOf(EnteringInterruptedError)
      expect(left.message).to.match(
        /^The mode is in force, but enter\(\) did not finish waiting: .*waited_for/,
      )
      expect(await state()).to.include({ mode: "concurrent", isInterrupted: true })
    } finally {
      await rename("lost", "waited_for")
    }
  })

  it("is interrupted if another window was above it for a while; it is in force, and nobody has waited", async () => {
    const { maintenance } = installed.current
    await withBystander(async () => {
      const told = firstDraining(maintenance)
      const error = errorOf(maintenance.enter("exclusive", { as: "alice", drain: forever }))
      await told
      const task = {
        id: "over",
        task: "task",
        mode: "concurrent",
        acting_user: "break-glass",
        is_emergency: true,
      }
      await withClient(database.current.url, async (client) => {
        // Simulates a lost connection of its watch.
        await client.query("begin; update maintenance.window set instance = -1 where position = 'entering'")
        await client.query("select maintenance.start_entering($1::jsonb)", [{ ...task, within_ms: 1000 }])
        await client.query("select maintenance.finish('task'); commit")
      })
      expect(await error).to.be.instanceOf(EnteringInterruptedError)
      expect(((await error) as Error).message).to.match(
        /^The mode is in force, but enter\(\) did not finish waiting: another window was in force in the meantime\./,
      )
      expect(await state()).to.deep.equal({ mode: "exclusive", state: "exclusive", isInterrupted: true })
    })
    await maintenance.leave({ as: "alice" })
  })

  it("is over if a failover lost it, even if another window has the same epoch, and leaves that window alone", async () => {
    const { maintenance } = installed.current
    await withBystander(async () => {
      const told = firstDraining(maintenance)
      const drain = { ...forever, then: "terminate" } as const
      const error = errorOf(maintenance.enter("exclusive", { as: "alice", drain }))
      await told
      const { epoch } = await maintenance.status()
      const bobs = {
        id: "bobs",
        mode: "concurrent",
        acting_user: "bob",
        is_emergency: false,
        within_ms: 3_600_000,
      }
      await withClient(database.current.url, async (client) => {
        await client.query("begin; delete from maintenance.window")
        await client.query(
          "update maintenance.state set (epoch, mode, maintainer, since, window_id, made_by) = (epoch - 1, 'normal', null, null, null, 'before')",
        )
        const { rows } = await client.query("select maintenance.start_entering($1::jsonb) as epoch", [bobs])
        expect(rows).to.deep.equal([{ epoch }])
        await client.query("commit")
      })
      expect(await error).to.be.instanceOf(WindowEndedError)
      expect(((await error) as Error).message).to.match(
        / Concurrent maintenance by bob since .* is now in force\.$/,
      )
      expect(await state()).to.deep.equal({ mode: "concurrent", state: "entering", isInterrupted: false })
    })
  })

  it("is reported as under way, and an announcement as alive, without any registered instance", async () => {
    const proxy = await Proxy.start(database.current.url, { dropsNotifications: true })
    await installed.current.dataSource.destroy()
    await withMaintenance(proxy.url, {}, async ({ maintenance }) => {
      expect((await maintenance.status()).instances).to.deep.equal([])
      const controller = new AbortController()
      const { signal } = controller
      const later = errorOf(maintenance.enter("concurrent", { as: "alice", startsInMs: 3_600_000, signal }))
      const announced = await until(async () => (await maintenance.status()).announced)
      expect(announced).to.include({ isInterrupted: false })
      await withBystander(async () => {
        const told = firstDraining(maintenance)
        const now = errorOf(maintenance.enter("exclusive", { as: "alice", drain: forever, signal }))
        await told
        expect(await maintenance.status()).to.include({ state: "entering", isInterrupted: false })
        controller.abort()
        await now
      })
      await later
    })
    await installed.current.dataSource.initialize()
    await proxy.stop()
  })

  it("terminates no session after its window was left, even if the state is only polled", async () => {
    const proxy = await Proxy.start(database.current.url, { dropsNotifications: true })
    await withMaintenance(proxy.url, {}, async ({ maintenance }) => {
      await withBystander(async (rollBack) => {
        const told = firstDraining(maintenance)
        const drain = { withinMs: 300, then: "terminate" } as const
        const error = errorOf(maintenance.enter("exclusive", { as: "alice", drain }))
        await told
        await installed.current.maintenance.leave({ as: "break-glass" })
        expect(await error).to.be.instanceOf(WindowEndedError)
        await rollBack()
      })
    })
    await proxy.stop()
  })

  it("ends no transaction of the maintainer in a process that is slow to acknowledge", async () => {
    const { maintenance } = installed.current
    const member = await Member.start(database.current.url)
    expect(await member.run("begin", "alice")).to.equal("done")
    expect(await member.run("insert into audit (note) values ('slow')", "alice")).to.equal("done")
    member.signal("SIGSTOP")
    const drain = { withinMs: 0, then: "terminate" } as const
    const entered = maintenance.enter("exclusive", { as: "alice", drain, ...patient })
    await entering()
    member.signal("SIGCONT")
    await entered
    expect(await member.run("commit", "alice")).to.equal("done")
    await member.stop()
  })

  it("does not wait for a self-committing statement of the maintainer", async () => {
    const { dataSource, maintenance } = installed.current
    const runner = dataSource.createQueryRunner()
    const key = "pg_advisory_lock(815)"
    await withClient(database.current.url, async (client) => {
      await client.query(`select ${key}`)
      const running = maintenance.runAs("alice", () =>
        runner.query(`do $$ begin perform ${key}; commit; end $$`),
      )
      await heldGate()
      await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 0, then: "terminate" } })
      await client.query("select pg_advisory_unlock_all()")
      await running
      await maintenance.runAs("alice", () => runner.query("select pg_advisory_unlock_all()"))
    })
    await runner.release()
  })

  describe("through an instance that mistakes the backend of another user for one of its own", () => {
    let member: Member
    let barrier: Barrier
    let running: Promise<string>
    let pid: number | undefined
    before(async () => {
      member = await Member.start(database.current.url)
    })
    beforeEach(async () => {
      barrier = await Barrier.close(database.current.url, "817")
      running = member.run(`do $$ begin perform pg_advisory_xact_lock(${barrier.key}); commit; end $$`)
      ;[pid] = await barrier.waiting()
    })
    afterEach(() => database.current.sql("drop trigger claim on maintenance.instance"))
    after(() => member.stop())

    /**
     * Claims that each instance has had a connection with that process id since then, and has not noticed its
     * loss.
     */
    const claimed = (since: string) =>
      database.current.sql(
        `create or replace function claim() returns trigger language plpgsql as $$ begin
           new.pool := array[${pid}]; new.unrestricted := array[true];
           new.connected := array(select ${since} from pg_stat_activity where pid = ${pid}); return new; end $$;
         create trigger claim before update on maintenance.instance for each row execute function claim()`,
      )

    it("waits for the backend if it is younger than the lost connection", async () => {
      const { maintenance } = installed.current
      await claimed("backend_start - interval '1 hour'")
      const told = firstDraining(maintenance)
      const entered = maintenance.enter("concurrent", { as: "alice" })
      expect((await told).blockers.map((blocker) => blocker.pid)).to.deep.equal([pid])
      expect(await state()).to.include({ state: "entering" })
      await barrier.open()
      await entered
      expect(await running).to.equal("done")
    })

    it("would not wait for the backend if it were as old as the lost connection", async () => {
      await claimed("backend_start")
      await installed.current.maintenance.enter("concurrent", { as: "alice" })
      await barrier.open()
      expect(await running).to.equal("done")
    })
  })

  /** Resolves when a running statement holds the gate for longer than a transaction. */
  const heldGate = async () => {
    const waiting = "select from pg_locks where locktype = 'advisory' and not granted and objid = 815"
    await until(async () => (await database.current.sql(waiting)).length > 0)
  }
})
