import { expect } from "chai"
import { inspect } from "node:util"
import type { DataSource, QueryRunner } from "typeorm"
import {
  type Blocker,
  DrainTimeoutError,
  type Maintenance,
  maintenanceSchemaSql,
  NotMaintainerError,
  WindowEndedError,
} from "../../src"
import { timeText } from "../../src/text"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { firstDraining } from "../support/draining"
import { errorOf } from "../support/error-of"
import { Member } from "../support/members"
import { Proxy } from "../support/proxy"
import { endOwnSessions } from "../support/sessions"
import { openShop } from "../support/shop"
import { warning } from "../support/warning"
import { endWindowAfterEach, windowOf } from "../support/window"
import { until } from "../support/until"

/** The longest possible wait. The tests end it. */
const forever = { withinMs: 2 ** 31 - 1 }

describe("Entering a mode during in-flight transactions", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  /** A query runner of another user, with an open transaction. */
  const withOpen = async <T>(
    dataSource: DataSource,
    text: string,
    work: (runner: QueryRunner, pid: number) => Promise<T>,
  ): Promise<T> => {
    const runner = dataSource.createQueryRunner()
    await runner.query("begin")
    await runner.query(text)
    const [{ pid }] = (await runner.query("select pg_backend_pid() as pid")) as [{ pid: number }]
    try {
      return await work(runner, pid)
    } finally {
      await runner.query("rollback").catch(() => undefined)
      await runner.release()
    }
  }
  const pidsOf = (blockers: readonly Blocker[]) => blockers.map(({ pid }) => pid)

  it("waits for them in exclusive mode, and reports the blockers", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "insert into audit (note) values ('x')", async (writer, writerPid) => {
      await withOpen(dataSource, "select 1", async (reader, readerPid) => {
        const told = firstDraining(maintenance, 2)
        const entered = maintenance.enter("exclusive", { as: "alice", drain: forever })
        const { blockers, waitedMs, deadline } = await told
        expect(pidsOf(blockers)).to.deep.equal([writerPid, readerPid])
        expect(waitedMs).to.be.within(0, forever.withinMs)
        expect(deadline.getTime()).to.be.greaterThan(Date.now())
        const [blocker] = blockers as [Blocker]
        const { id } = (await maintenance.status()).instances[0] as { id: number }
        expect(blocker).to.include({
          user: "postgres",
          clientAddress: "127.0.0.1",
          state: "idle in transaction",
          hasWritten: true,
          query: "select pg_backend_pid() as pid",
          isHidden: false,
        })
        expect(blocker.ageMs).to.be.greaterThan((blockers[1] as Blocker).ageMs as number)
        expect(blocker.instance).to.include({ id, pid: process.pid })
        expect((blockers[1] as Blocker).hasWritten).to.equal(false)
        await withMaintenance(database.current.url, {}, async (other) => {
          expect(await other.maintenance.status()).to.include({
            mode: "exclusive",
            state: "entering",
            isInterrupted: false,
          })
        })
        const again = firstDraining(maintenance, 1)
        await writer.query("rollback")
        expect(pidsOf((await again).blockers)).to.deep.equal([readerPid])
        await reader.query("rollback")
        await entered
        expect(await maintenance.status()).to.include({ state: "exclusive", isInterrupted: false })
      })
    })
  })

  it("can be followed to its end with an async iterator", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async (runner, pid) => {
      const seen: number[] = []
      const following = (async () => {
        for await (const { blockers } of maintenance.draining()) {
          seen.push(...(pidsOf(blockers) as number[]))
          await runner.query("rollback")
        }
      })()
      await maintenance.enter("exclusive", { as: "alice", drain: forever })
      await following
      expect(seen).to.deep.equal([pid])
    })
  })

  it("can be followed to its end with two pending calls of next()", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async (runner, pid) => {
      const entered = maintenance.enter("exclusive", { as: "alice", drain: forever })
      const draining = maintenance.draining()
      const [first, second] = [draining.next(), draining.next()]
      expect(pidsOf((await first).value?.blockers ?? [])).to.deep.equal([pid])
      await runner.query("rollback")
      await entered
      await second
      while (!(await draining.next()).done);
    })
  })

  for (const [call, begin] of [
    ["during()", (m: Maintenance) => m.during("exclusive", { as: "alice" }, () => undefined)],
    ["transfer()", (m: Maintenance) => m.transfer({ as: "alice", to: "carol" })],
  ] as const) {
    it(`ends its iterators if ${call} is refused immediately`, async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "bob" })
      const refused = errorOf(begin(maintenance))
      for await (const draining of maintenance.draining()) expect(draining).to.equal(undefined)
      expect(await refused).to.be.instanceOf(NotMaintainerError)
    })
  }

  it("is reported to its own iterators, but not to those of an announced call", async () => {
    const { dataSource, maintenance } = installed.current
    const controller = new AbortController()
    const { signal } = controller
    const announced = errorOf(maintenance.enter("concurrent", { as: "alice", startsInMs: 3_600_000, signal }))
    const ofAnnounced = maintenance.draining().next()
    await withOpen(dataSource, "select 1", async (runner, pid) => {
      const entered = maintenance.enter("exclusive", { as: "alice", drain: forever })
      const { value } = await maintenance.draining().next()
      expect(pidsOf(value?.blockers ?? [])).to.deep.equal([pid])
      await runner.query("rollback").catch(() => undefined)
      await entered
    })
    controller.abort()
    await announced
    expect(await ofAnnounced).to.deep.equal({ value: undefined, done: true })
  })

  it("ends its iterators when the work of during() begins", async () => {
    const { maintenance } = installed.current
    const begun = new Promise<void>((resolve) => {
      const following = async () => {
        for await (const draining of maintenance.draining()) expect(draining).to.equal(undefined)
        resolve()
      }
      void following()
    })
    await maintenance.during("exclusive", { as: "alice" }, () => begun)
  })

  it("is abandoned after the time limit, and the mode stays as it was", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "insert into audit (note) values ('kept')", async (runner, pid) => {
      const error = await errorOf(maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 20 } }))
      expect(error).to.be.instanceOf(DrainTimeoutError)
      expect(error).to.have.property("code", "MAINTENANCE_DRAIN_TIMEOUT")
      expect(pidsOf((error as DrainTimeoutError).blockers)).to.deep.equal([pid])
      expect((error as Error).message).to.match(
        new RegExp(
          "^Mode not changed: alice was entering exclusive mode, but 1 transaction of other users was still open after 20 ms\\. " +
            "The previous mode is in force again\\.\n" +
            `- backend ${pid} \\(user postgres, from 127\\.0\\.0\\.1, process ${process.pid} on .*, open for .* s, ` +
            "idle in transaction, has written\\)\n" +
            'End it, wait longer \\(drain\\.withinMs\\), or choose another outcome \\(drain\\.then: "terminate", ' +
            'or "proceed" to let it be refused\\)\\.$',
        ),
      )
      expect(error).to.include({ mode: "exclusive", maintainer: "alice" })
      expect(await maintenance.status()).to.include({ mode: "normal", state: "normal" })
      await runner.query("commit")
      expect(await dataSource.query("select note from audit where note = 'kept'")).to.have.length(1)
    })
  })

  it("shows no SQL of others in warnings, messages or inspected errors, unless showsQueries is set", async () => {
    const secret = "insert into audit (note) values ('a secret')"
    const blocked = (runner: { query(text: string): Promise<unknown> }) => runner.query(secret)
    for (const showsQueries of [undefined, false, true]) {
      await withMaintenance(database.current.url, { plugin: { showsQueries } }, async (other) => {
        await withOpen(other.dataSource, "select 1", async (runner) => {
          await blocked(runner)
          const entering = other.maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 20 } })
          const error = (await errorOf(entering)) as DrainTimeoutError
          expect(error).to.be.instanceOf(DrainTimeoutError)
          expect(error.blockers[0]?.query).to.equal(secret)
          const shown = [error.message, inspect(error), JSON.stringify(error)]
          for (const text of shown) expect(text.includes("a secret"), text).to.equal(showsQueries === true)
          await runner.query("rollback")
        })
      })
    }
  })

  it("is abandoned, and the error names sessions without the plugin, which cannot be refused later", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", () =>
      withClient(database.current.url, async (client) => {
        await client.query("begin")
        await client.query("select 1")
        const error = await errorOf(maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 20 } }))
        expect((error as Error).message.split("\n").at(-1)).to.equal(
          "End them, wait longer (drain.withinMs), or choose another outcome (drain.then: " +
            '"terminate", or "proceed" to let them be refused). ' +
            "However, a session for which no process is named may not have the plugin. It is then not refused, and may still commit.",
        )
        await client.query("rollback")
      }),
    )
  })

  for (const [which, withinMs, said] of [
    [
      "the time limit and the next step",
      30_000,
      /^\d s for these transactions\. After 30 s it abandons the window\.$/,
    ],
    ["no time limit if it is practically infinite", forever.withinMs, /^\d s for these transactions\.$/],
  ] as const) {
    it(`logs a warning after five seconds with the mode, the maintainer, the reason, and ${which}`, async () => {
      const { dataSource, maintenance } = installed.current
      await withOpen(dataSource, "select 1", async (runner, pid) => {
        const warned = warning(/ mode \(alice/)
        const drain = { withinMs }
        const entered = maintenance.enter("exclusive", { as: "alice", reason: "failover", drain })
        const [first = "", line] = (await warned).split("\n")
        const parts = /^Exclusive mode \(alice: failover\) is in force, and enter\(\) has waited (.*)$/.exec(
          first,
        )
        expect(parts?.[1]).to.match(said)
        expect(line).to.include(`- backend ${pid} (`)
        await runner.query("rollback")
        await entered
      })
    })
  }

  it("is abandoned, and names the blockers, before the window would expire", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async (_, pid) => {
      const error = await errorOf(maintenance.enter("exclusive", { as: "alice", expiresInMs: 4000 }))
      expect(error).to.be.instanceOf(DrainTimeoutError)
      expect(pidsOf((error as DrainTimeoutError).blockers)).to.deep.equal([pid])
    })
  })

  it("restores the previous window if it is abandoned", async () => {
    const { dataSource, maintenance } = installed.current
    const before = await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    await withOpen(dataSource, "select 1", async () => {
      const error = await errorOf(
        maintenance.enter("exclusive", { as: "alice", reason: "move", drain: { withinMs: 0 } }),
      )
      expect(error).to.be.instanceOf(DrainTimeoutError)
    })
    expect(windowOf(await maintenance.status())).to.deep.equal(
      windowOf({ ...before, epoch: before.epoch + 2 }),
    )
  })

  it("does not run the work of during() if it is abandoned", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async () => {
      let hasRun = false
      const error = await errorOf(
        maintenance.during("exclusive", { as: "alice", drain: { withinMs: 0 } }, () => (hasRun = true)),
      )
      expect(error).to.be.instanceOf(DrainTimeoutError)
      expect(hasRun).to.equal(false)
    })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it('cancels a running statement with drain.then "cancel"', async () => {
    const { dataSource, maintenance } = installed.current
    const running = errorOf(dataSource.query("select pg_sleep(600)"))
    await database.current.sql(`do $$ begin
      while not exists (select from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active') loop
        perform pg_sleep(0.005); perform pg_stat_clear_snapshot();
      end loop; end $$`)
    await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 0, then: "cancel" } })
    expect(await running).to.have.property("code", "57014")
  })

  it('terminates a session idle in a transaction with drain.then "terminate", even without the plugin', async () => {
    const { maintenance } = installed.current
    await withClient(database.current.url, async (client) => {
      client.on("error", () => undefined)
      const ended = new Promise((resolve) => client.once("end", resolve))
      await client.query("begin")
      await client.query("insert into audit (note) values ('stranger')")
      await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 0, then: "terminate" } })
      await ended
    })
    expect(await database.current.sql("select from audit where note = 'stranger'")).to.have.length(0)
  })

  it("is abandoned if a session idle in a transaction was only cancelled", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async (_, pid) => {
      const warned = warning(/ mode \(alice/)
      const drain = { withinMs: 1000, then: "cancel" } as const
      const error = await errorOf(maintenance.enter("concurrent", { as: "alice", reason: "move", drain }))
      expect(error).to.be.instanceOf(DrainTimeoutError)
      expect(error).to.include({ mode: "concurrent", maintainer: "alice", reason: "move" })
      expect(pidsOf((error as DrainTimeoutError).blockers)).to.deep.equal([pid])
      const [first, , advice] = (error as Error).message.split("\n")
      expect(first).to.equal(
        "Mode not changed: alice was entering concurrent mode (move), but 1 transaction of other users was still open " +
          "5 s after it was cancelled. The previous mode is in force again.",
      )
      expect(advice).to.equal(
        'Cancelling does not end a session that is idle in a transaction, but drain.then: "terminate" does. ' +
          'End it by hand, or let it be refused (drain.then: "proceed").',
      )
      expect(await warned).to.match(
        /^Concurrent mode \(alice: move\) is in force, and enter\(\) has waited \d s for these transactions\. After 1 s it cancels them; if one is still open 5 s later, it abandons the window\.\n- /,
      )
    })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("does not wait for sessions outside of a transaction", async () => {
    const { maintenance } = installed.current
    await withClient(database.current.url, async (client) => {
      await client.query("select 1")
      await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 0 } })
    })
  })

  it("does not wait for transactions without the plugin that begin after it", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async (runner) => {
      const told = firstDraining(maintenance, 1)
      const entered = maintenance.enter("exclusive", { as: "alice", drain: forever })
      await told
      await withClient(database.current.url, async (client) => {
        await client.query("begin")
        await client.query("select 1")
        await runner.query("rollback")
        await entered
        await client.query("rollback")
      })
    })
  })

  it("ignores transactions of the maintainer, in this process and in others", async () => {
    const { dataSource, maintenance } = installed.current
    const member = await Member.start(database.current.url)
    expect(await member.run("begin", "alice")).to.equal("done")
    expect(await member.run("insert into audit (note) values ('own')", "alice")).to.equal("done")
    await maintenance.runAs("alice", () =>
      withOpen(dataSource, "select 1", async () => {
        await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 4000, then: "terminate" } })
      }),
    )
    expect(await member.run("commit", "alice")).to.equal("done")
    expect(await database.current.sql("select from audit where note = 'own'")).to.have.length(1)
    await member.stop()
  })

  for (const then of ["abandon", "terminate"] as const) {
    it(`ignores transactions that the maintainer begins in another process once that knows the mode: ${then}`, async () => {
      const { maintenance } = installed.current
      const proxy = await Proxy.start(database.current.url)
      await withMaintenance(proxy.url, {}, async (slow) => {
        const runner = installed.current.dataSource.createQueryRunner()
        const begun = new Promise((resolve) => {
          const stop = maintenance.on("change", () => {
            stop()
            resolve(
              maintenance.runAs("alice", async () => {
                await runner.query("begin")
                return runner.query("insert into audit (note) values ('hers')")
              }),
            )
          })
        })
        // Delays the search for blockers until after that.
        proxy.delay(20)
        await slow.maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 200, then } })
        await begun
        await maintenance.runAs("alice", () => runner.query("commit"))
        await runner.release()
        proxy.delay(0)
      })
      await proxy.stop()
    })
  }

  it("names a prepared transaction, which it cannot end", async function () {
    this.timeout(180_000)
    const { maintenance } = installed.current
    const name = `drain_${process.pid}`
    await database.current.sql("insert into audit (note) values ('prepared')")
    await withClient(database.current.url, async (client) => {
      await client.query("begin")
      await client.query("insert into audit (note) values ('prepared')")
      await client.query(`prepare transaction '${name}'`)
    })
    const error = await errorOf(
      maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 0, then: "terminate" } }),
    )
    await database.current.sql(`rollback prepared '${name}'`)
    const [blocker] = (error as DrainTimeoutError).blockers as [Blocker]
    expect(blocker).to.include({ pid: undefined, transaction: name, state: "prepared", hasWritten: true })
    expect(blocker.cannotEnd).to.include("ROLLBACK PREPARED")
    const [first, , advice] = (error as Error).message.split("\n")
    expect(first).to.include(
      "1 transaction of other users was still open 5 s after an attempt to terminate it. ",
    )
    expect(advice).to.equal(
      "Only COMMIT PREPARED or ROLLBACK PREPARED ends a prepared transaction. " +
        'End it by hand, or let it be refused (drain.then: "proceed"). ' +
        "However, a prepared transaction is not refused, and may still commit.",
    )
  })

  for (const [who, as] of [
    ["the maintainer", "alice"],
    ["an emergency user", "break-glass"],
  ] as const) {
    it(`is ended by the leave() of ${who}`, async () => {
      const { dataSource, maintenance } = installed.current
      await withOpen(dataSource, "select 1", async () => {
        const told = firstDraining(maintenance, 1)
        const entered = errorOf(maintenance.enter("exclusive", { as: "alice", drain: forever }))
        await told
        await withMaintenance(database.current.url, {}, (other) => other.maintenance.leave({ as }))
        const error = await entered
        expect(error).to.be.instanceOf(WindowEndedError)
        expect(error).to.include({ endedBecause: "left", endedBy: as })
        expect((error as WindowEndedError).message).to.equal(
          `The window ended before entering was complete: ${as} ended it at ` +
            `${timeText((error as WindowEndedError).endedAt as Date)}. The mode is normal.`,
        )
      })
      expect(await maintenance.status()).to.include({ mode: "normal", state: "normal" })
    })
  }

  it("is aborted by an AbortSignal, before it begins and while it waits", async () => {
    const { dataSource, maintenance } = installed.current
    const { epoch } = await maintenance.status()
    const reason = new Error("no more")
    const early = await errorOf(
      maintenance.enter("exclusive", { as: "alice", signal: AbortSignal.abort(reason) }),
    )
    expect(early).to.equal(reason)
    expect(await maintenance.status()).to.include({ mode: "normal", epoch })
    for (const why of [reason, null, undefined, "a word"]) {
      await withOpen(dataSource, "select 1", async () => {
        const controller = new AbortController()
        const told = firstDraining(maintenance, 1)
        const { signal } = controller
        const entered = errorOf(maintenance.enter("exclusive", { as: "alice", drain: forever, signal }))
        await told
        controller.abort(why)
        expect(await entered).to.equal(signal.reason)
      })
    }
    expect(await maintenance.status()).to.include({ mode: "normal", state: "normal" })
  })

  it("leaves its window in force, reported as interrupted, if its process is killed", async () => {
    const { dataSource, maintenance } = installed.current
    const member = await Member.start(database.current.url)
    await withOpen(dataSource, "select 1", async () => {
      const entered = errorOf(member.enter("exclusive", { as: "alice" }))
      const report = async () => maintenance.status()
      await until(async () => (await report()).state === "entering")
      member.signal("SIGKILL")
      await entered
      await until(async () => (await report()).state !== "entering")
      expect(await report()).to.include({ mode: "exclusive", state: "exclusive", isInterrupted: true })
    })
    expect(await errorOf(dataSource.query("select 1"))).to.have.property("code", "MAINTENANCE_ACCESS_REFUSED")
    await maintenance.leave({ as: "alice" })
    expect(await maintenance.status()).to.include({ mode: "normal", isInterrupted: false })
  })

  it("continues if its watch loses its connection", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async (runner) => {
      const told = firstDraining(maintenance, 1)
      const entered = maintenance.enter("exclusive", { as: "alice", drain: forever })
      await told
      await endOwnSessions(database.current)
      await until(async () => (await maintenance.status()).state === "entering")
      await runner.query("rollback")
      await entered
    })
    expect(await maintenance.status()).to.include({ state: "exclusive" })
  })

  it("waits for nothing in concurrent mode by default; with a time limit it waits, and then continues", async () => {
    const { dataSource, maintenance } = installed.current
    await withOpen(dataSource, "select 1", async (_, pid) => {
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.leave({ as: "alice" })
      const told = firstDraining(maintenance, 1)
      // Long enough for one search for blockers, even on a slow machine.
      await maintenance.enter("concurrent", { as: "alice", drain: { withinMs: 1500 } })
      expect(pidsOf((await told).blockers)).to.deep.equal([pid])
    })
  })

  it("reports what the role may not see, and may not end", async function () {
    this.timeout(180_000)
    const { dataSource } = installed.current
    const url = new URL(database.current.url)
    url.username = "drainer"
    await database.current.sql("create role drainer login")
    try {
      await database.current.sql(maintenanceSchemaSql({ role: "drainer" }))
      await withMaintenance(url.toString(), { plugin: { migrate: false } }, async ({ maintenance }) => {
        await withOpen(dataSource, "select 1", async (_, pid) => {
          const error = await errorOf(
            maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 0, then: "terminate" } }),
          )
          const [blocker] = (error as DrainTimeoutError).blockers as [Blocker]
          expect(blocker).to.include({ pid, user: "postgres", isHidden: true, query: undefined })
          // PostgreSQL 16 and later, and earlier versions.
          expect(blocker.cannotEnd).to.match(
            /^(?:permission denied to terminate process|must be a superuser to terminate superuser process)$/,
          )
          expect((error as Error).message).to.include(
            "hidden: this role is not a member of pg_read_all_stats",
          )
          expect((error as Error).message.split("\n").at(-1)).to.equal(
            "To terminate it, enter with a role that is a member of pg_signal_backend. Sessions of superusers need a superuser. " +
              'End it by hand, or let it be refused (drain.then: "proceed").',
          )
        })
      })
    } finally {
      await database.current.sql("drop owned by drainer; drop role drainer")
    }
  })
})
