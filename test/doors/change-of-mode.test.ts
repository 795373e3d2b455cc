import { expect } from "chai"
import { MaintenanceInputError, NotMaintainerError, WindowEndedError, WriteVetoedError } from "../../src"
import { timeText } from "../../src/text"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { endOwnSessions } from "../support/sessions"
import { openShop } from "../support/shop"
import { endWindowAfterEach, windowOf } from "../support/window"
import { statusThat, until } from "../support/until"

describe("A change of mode", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  it("resolves with the status that status() reads from the database", async () => {
    const { maintenance } = installed.current
    const entered = await maintenance.enter("concurrent", { as: "alice", reason: "rebuild the catalog" })
    expect(entered).to.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild the catalog" })
    expect(entered.since).to.be.instanceOf(Date)
    expect(windowOf(await maintenance.status())).to.deep.equal(windowOf(entered))
    const left = await maintenance.leave({ as: "alice" })
    expect(left).to.deep.equal({ mode: "normal", epoch: entered.epoch + 1 })
  })

  it("by leave({ ifHeld: true }) succeeds even if the user holds no window, so that a script can run twice", async () => {
    const { maintenance } = installed.current
    const leave = (as: string) => maintenance.leave({ as, ifHeld: true })
    await maintenance.enter("concurrent", { as: "alice" })
    expect(await leave("alice")).to.include({ mode: "normal" })
    expect(await leave("alice")).to.include({ mode: "normal" })

    const held = await maintenance.enter("concurrent", { as: "alice" })
    for (const stranger of ["bob", "break-glass"]) {
      expect(windowOf(await leave(stranger))).to.deep.equal(windowOf(held))
    }
    await maintenance.enter("concurrent", { as: "break-glass" })
    expect(await leave("alice")).to.include({ maintainer: "break-glass" })
    expect(await leave("break-glass")).to.include({ mode: "normal" })
  })

  it("by leave() cancels announcements of the user if no window is in force, unless ifHeld is set", async () => {
    const { maintenance } = installed.current
    const entering = errorOf(maintenance.enter("concurrent", { as: "alice", startsInMs: 3_600_000 }))
    await until(async () => (await maintenance.status()).announced)
    for (const who of ["bob", "break-glass", "alice"]) {
      const left = await maintenance.leave({ as: who, ifHeld: true })
      expect(left.announced).to.include({ maintainer: "alice" })
    }
    expect((await maintenance.leave({ as: "alice" })).announced).to.equal(undefined)
    expect(await entering).to.be.instanceOf(WindowEndedError)
  })

  it("by leave({ windowOnly: true }) ends a window, but cancels no announcement of anybody", async () => {
    const { maintenance } = installed.current
    await maintenance.announce("concurrent", { as: "alice", startsInMs: 3_600_000 })
    for (const as of ["alice", "break-glass"]) {
      const refused = await errorOf(maintenance.leave({ as, windowOnly: true }))
      expect(refused)
        .to.be.instanceOf(MaintenanceInputError)
        .with.property("message")
        .that.includes("There is no maintenance to leave")
    }
    await maintenance.enter("concurrent", { as: "bob" })
    const left = await maintenance.leave({ as: "break-glass", windowOnly: true })
    expect(left).to.include({ mode: "normal" })
    expect(left.announced).to.include({ maintainer: "alice" })
    await maintenance.leave({ as: "alice" })
  })

  it("by leave() is refused without a user, even with ifHeld", async () => {
    expect(await errorOf(installed.current.maintenance.leave({ ifHeld: true }))).to.be.instanceOf(
      MaintenanceInputError,
    )
  })

  it("is refused to other users, with the maintainer, the start and the reason", async () => {
    const { maintenance } = installed.current
    const held = await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    for (const attempt of [
      () => maintenance.enter("concurrent", { as: "bob" }),
      () => maintenance.enter("exclusive", { as: "bob" }),
      () => maintenance.enter("normal", { as: "bob" }),
      () => maintenance.leave({ as: "bob" }),
    ]) {
      const refusal: unknown = await attempt().catch((error: unknown) => error)
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal).to.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
      expect(refusal).to.have.deep.property("since", held.since)
      expect(refusal).to.have.property(
        "message",
        `Mode not changed: concurrent maintenance by alice (rebuild) since ${timeText(held.since as Date)} is in force. ` +
          "Only alice or an emergency user may change it. Ask alice to leave. The window has no set end: it lasts until alice or an emergency user ends it.",
      )
    }
    expect(windowOf(await maintenance.status())).to.deep.equal(windowOf(held))
  })

  it("is refused to other users, with the end of the window if it has one", async () => {
    const { maintenance } = installed.current
    const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 3_600_000 })
    const refusal = (await errorOf(maintenance.leave({ as: "bob" }))) as NotMaintainerError
    expect(refusal.message).to.include(
      `Ask alice to leave, or wait until the window ends by itself at ${timeText(expiresAt as Date)}.`,
    )
  })

  it("succeeds for only one of many users who enter at once, from two DataSources", async () => {
    await withMaintenance(database.current.url, {}, async (other) => {
      for (let round = 0; round < 20; round++) {
        const sides: Installed[] = [installed.current, other]
        const outcomes = await Promise.allSettled(
          Array.from({ length: 6 }, (_, user) =>
            (sides[user % 2] as Installed).maintenance.enter("concurrent", { as: `user ${user}` }),
          ),
        )
        const winners = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []))
        const losers = outcomes.filter((outcome) => outcome.status === "rejected")
        expect(winners).to.have.length(1)
        const maintainer = winners[0]?.maintainer
        for (const { reason } of losers) {
          expect(reason).to.be.instanceOf(NotMaintainerError)
          expect(reason).to.have.property("maintainer", maintainer)
        }
        await installed.current.maintenance.leave({ as: maintainer })
      }
    })
  })

  it("by an emergency user takes the window over, and restricts the former maintainer", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice", reason: "rebuild" })
    const taken = await maintenance.enter("concurrent", { as: "break-glass", reason: "alice is asleep" })
    expect(taken).to.include({ mode: "concurrent", maintainer: "break-glass", reason: "alice is asleep" })
    const veto: unknown = await maintenance
      .runAs("alice", () => dataSource.query("insert into item (name) values ('crate')"))
      .catch((error: unknown) => error)
    expect(veto).to.be.instanceOf(WriteVetoedError)
    const refusal: unknown = await maintenance.leave({ as: "alice" }).catch((error: unknown) => error)
    expect(refusal).to.be.instanceOf(NotMaintainerError)
    expect(await maintenance.leave({ as: "break-glass" })).to.include({ mode: "normal" })
  })

  it("by leave() is allowed for an emergency user without a take-over", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    expect(await maintenance.leave({ as: "break-glass" })).to.include({ mode: "normal" })
  })

  it("by the same maintainer keeps the window: since and reason stay, and nobody else can write in between", async () => {
    const { dataSource, maintenance } = installed.current
    const first = await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    const outcomes: unknown[] = []
    let isSwitching = true
    const bob = async () => {
      while (isSwitching) {
        outcomes.push(
          await dataSource
            .query("insert into item (name) values ('leak')")
            .catch((error: { code: string }) => error.code),
        )
        await new Promise(setImmediate)
      }
    }
    const writing = bob()
    for (let count = 0; count < 50; count++) {
      const status = await maintenance.enter(count % 2 ? "concurrent" : "exclusive", { as: "alice" })
      expect(status).to.deep.include({ maintainer: "alice", reason: "rebuild", since: first.since })
    }
    isSwitching = false
    await writing
    expect(new Set(outcomes)).to.deep.equal(
      new Set(["MAINTENANCE_WRITE_VETOED", "MAINTENANCE_ACCESS_REFUSED"]),
    )
    await maintenance.leave({ as: "alice" })
    expect(await database.current.sql("select count(*)::int from item where name = 'leak'")).to.deep.equal([
      { count: 0 },
    ])
  })

  it('by enter("normal") ends the window', async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    expect(await maintenance.enter("normal", { as: "alice" })).to.include({ mode: "normal" })
  })

  it("is made by the current user by default", async () => {
    const { maintenance } = installed.current
    await maintenance.runAs("alice", async () => {
      expect(await maintenance.enter("concurrent")).to.include({ maintainer: "alice" })
      expect(await maintenance.leave()).to.include({ mode: "normal" })
    })
  })

  it("notifies the listeners of every DataSource, once per change and in order", async () => {
    await withMaintenance(database.current.url, {}, async (other) => {
      const heard: string[] = []
      const done = new Promise<void>((resolve) => {
        other.maintenance.on("change", ({ mode }) => {
          heard.push(mode)
          if (mode === "normal") resolve()
        })
      })
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      await other.maintenance.status()
      await maintenance.enter("exclusive", { as: "alice" })
      await other.maintenance.status()
      await maintenance.leave({ as: "alice" })
      await done
      expect(heard).to.deep.equal(["concurrent", "exclusive", "normal"])
    })
  })

  it("waits for a commit that has passed its fence, but not for transactions that have not", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async ({ dataSource }) => {
      const idle = dataSource.createQueryRunner()
      await idle.startTransaction()
      await idle.query("insert into item (name) values ('open')")
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.leave({ as: "alice" })
      await idle.rollbackTransaction()
      await idle.release()

      await database.current.sql(`
        create function wait_at_commit() returns trigger language plpgsql as
          'begin perform pg_advisory_lock(4711); perform pg_advisory_unlock(4711); return null; end';
        create constraint trigger wait_at_commit after insert on audit deferrable initially deferred
          for each row execute function wait_at_commit()`)
      const blocker = dataSource.createQueryRunner()
      await blocker.query("select pg_advisory_lock(4711)")
      const order: string[] = []
      const write = dataSource.query("insert into audit (note) values ('slow')")
      await database.current.sql(`do $$ begin
        while not exists (select from pg_locks where locktype = 'advisory' and not granted) loop
          perform pg_sleep(0.005); perform pg_stat_clear_snapshot();
        end loop; end $$`)
      const entering = maintenance.enter("concurrent", { as: "alice" }).then(async () => {
        const rows = await database.current.sql("select from audit where note = 'slow'")
        order.push(`entered with ${rows.length} row`)
      })
      await statusThat(maintenance, ({ mode }) => mode !== "normal")
      order.push("unblocked")
      await blocker.query("select pg_advisory_unlock(4711)")
      await Promise.all([write, entering])
      await blocker.release()
      expect(order).to.deep.equal(["unblocked", "entered with 1 row"])
    })
  })
})

describe("during()", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  it("enters, runs the work as the maintainer, leaves, and resolves with the result", async () => {
    const { dataSource, maintenance } = installed.current
    const result = await maintenance.during("exclusive", { as: "alice", reason: "rebuild" }, async () => {
      await dataSource.query("insert into item (name) values ('rebuilt')")
      return maintenance.status()
    })
    expect(result).to.include({ mode: "exclusive", maintainer: "alice", reason: "rebuild" })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("leaves if the work throws, and rejects with the same error", async () => {
    const { maintenance } = installed.current
    const failure = new Error("out of anvils")
    const error: unknown = await maintenance
      .during("concurrent", { as: "alice" }, () => Promise.reject(failure))
      .catch((thrown: unknown) => thrown)
    expect(error).to.equal(failure)
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("restores the mode of an outer window of the same maintainer", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const inside = await maintenance.during("exclusive", { as: "alice" }, () => maintenance.status())
    expect(inside).to.include({ mode: "exclusive" })
    expect(await maintenance.status()).to.include({ mode: "concurrent" })
    await maintenance.leave({ as: "alice" })
  })

  it("does not run the work if another user holds a window", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    let hasRun = false
    const error: unknown = await maintenance
      .during("exclusive", { as: "bob" }, () => (hasRun = true))
      .catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(NotMaintainerError)
    expect(hasRun).to.equal(false)
    expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
    await maintenance.leave({ as: "alice" })
  })

  it("rejects if an emergency user has taken the window over", async () => {
    const { maintenance } = installed.current
    const error: unknown = await maintenance
      .during("exclusive", { as: "alice" }, () => maintenance.enter("exclusive", { as: "break-glass" }))
      .catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(WindowEndedError)
    await maintenance.leave({ as: "break-glass" })
  })

  it("of a user is refused while another task of the same user runs, in this process or another, and ends nothing", async () => {
    await withMaintenance(database.current.url, {}, async (other) => {
      const { maintenance } = installed.current
      let finish: () => void = () => undefined
      let hasBegun: () => void = () => undefined
      const began = new Promise<void>((resolve) => (hasBegun = resolve))
      const first = maintenance.during("concurrent", { as: "alice" }, () => {
        hasBegun()
        return new Promise<void>((resolve) => (finish = resolve))
      })
      await began
      for (const side of [maintenance, other.maintenance]) {
        const error: unknown = await side
          .during("exclusive", { as: "alice" }, () => "ran")
          .catch((thrown: unknown) => thrown)
        expect(error).to.be.instanceOf(NotMaintainerError)
        expect(error)
          .to.have.property("message")
          .that.matches(/another task of alice \(process \d+ on .*\) is running/)
        expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
      }
      finish()
      await first
      expect(await maintenance.status()).to.include({ mode: "normal" })
      expect(await other.maintenance.during("exclusive", { as: "alice" }, () => "ran")).to.equal("ran")
    })
  })

  it("of a user is refused while another task of the same user runs under a mode that is being entered", async () => {
    const { maintenance } = installed.current
    let finish: () => void = () => undefined
    let hasBegun: () => void = () => undefined
    const began = new Promise<void>((resolve) => (hasBegun = resolve))
    await withClient(database.current.url, async (client) => {
      const first = maintenance.during("concurrent", { as: "alice" }, () => {
        hasBegun()
        return new Promise<string>((resolve) => (finish = () => resolve("ran")))
      })
      await began
      await client.query("begin; select 1")
      const abort = new AbortController()
      const entering = errorOf(maintenance.enter("exclusive", { as: "alice", signal: abort.signal }))
      await until(async () => (await maintenance.status()).state === "entering")
      const second = await errorOf(maintenance.during("concurrent", { as: "alice" }, () => "ran"))
      expect(second).to.be.instanceOf(NotMaintainerError).and.to.have.property("task")
      expect(await maintenance.status()).to.include({ mode: "exclusive", state: "entering" })
      abort.abort(new Error("not today"))
      expect(await entering).to.have.property("message", "not today")
      finish()
      expect(await first).to.equal("ran")
    })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("restores the mode and the reason of an outer task of the same user", async () => {
    const { maintenance } = installed.current
    const outer = await maintenance.during("concurrent", { as: "alice", reason: "outer" }, async () => {
      const inner = await maintenance.during("exclusive", { as: "alice", reason: "inner" }, () =>
        maintenance.status(),
      )
      expect(inner).to.include({ mode: "exclusive", reason: "inner" })
      return maintenance.status()
    })
    expect(outer).to.include({ mode: "concurrent", reason: "outer" })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("rejects if an inner task outlasts it; the inner task goes on, and then the window ends", async () => {
    const { maintenance } = installed.current
    let finish: () => void = () => undefined
    let inner: Promise<string> | undefined
    const outer = await errorOf(
      maintenance.during(
        "exclusive",
        { as: "alice" },
        () =>
          new Promise<void>((begun) => {
            inner = maintenance.during("concurrent", { as: "alice" }, () => {
              begun()
              return new Promise<string>((resolve) => (finish = () => resolve("ran")))
            })
          }),
      ),
    )
    expect(outer)
      .to.be.instanceOf(WindowEndedError)
      .and.include({ endedBecause: "switched", mode: "concurrent" })
    expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
    finish()
    expect(await inner).to.equal("ran")
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("of an emergency user restores the window that it took over", async () => {
    const { maintenance } = installed.current
    const before = await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    await maintenance.during("exclusive", { as: "break-glass" }, () => undefined)
    expect(windowOf(await maintenance.status())).to.deep.equal(
      windowOf({ ...before, epoch: before.epoch + 2 }),
    )
    await maintenance.leave({ as: "alice" })
  })

  it("survives the loss of its connection while it waits for an in-flight commit", async () => {
    const { dataSource, maintenance } = installed.current
    await database.current.sql(`
      create table slow (i int);
      create function wait_at_commit() returns trigger language plpgsql as
        'begin perform pg_advisory_lock(4712); perform pg_advisory_unlock(4712); return null; end';
      create constraint trigger wait_at_commit after insert on slow deferrable initially deferred
        for each row execute function wait_at_commit()`)
    const blocker = dataSource.createQueryRunner()
    await blocker.query("select pg_advisory_lock(4712)")
    const write = dataSource.query("insert into slow values (1)")
    await database.current.sql(`do $$ begin
      while not exists (select from pg_locks where locktype = 'advisory' and not granted) loop
        perform pg_sleep(0.005); perform pg_stat_clear_snapshot();
      end loop; end $$`)
    const during = maintenance.during("concurrent", { as: "alice" }, () => "ran")
    await database.current.sql(`do $$ begin
      while not exists (select from maintenance.state where mode = 'concurrent') loop
        perform pg_sleep(0.005);
      end loop; end $$`)
    await endOwnSessions(database.current)
    await blocker.query("select pg_advisory_unlock(4712)")
    await blocker.release()
    await write
    expect(await during).to.equal("ran")
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })
})
