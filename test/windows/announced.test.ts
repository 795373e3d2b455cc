import { expect } from "chai"
import { randomUUID } from "node:crypto"
import {
  AccessRefusedError,
  type EnterOptions,
  type Maintenance,
  MaintenanceInputError,
  StateUnavailableError,
  type MaintenanceStatus,
  NotMaintainerError,
  WindowEndedError,
  WriteVetoedError,
} from "../../src"
import { channelOf } from "../../src/state/schema"
import { timeText } from "../../src/text"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { startEmbeddedServer } from "../support/embedded-server"
import { errorOf } from "../support/error-of"
import { Member } from "../support/members"
import { runScript } from "../support/run-script"
import { endOwnSessions } from "../support/sessions"
import { openShop } from "../support/shop"
import { statusThat, until } from "../support/until"
import { endWindow } from "../support/window"

/** Far enough away not to begin during a test. */
const later = { as: "alice", startsInMs: 3_600_000 } as const
const soon = { as: "alice", startsInMs: 1000 } as const

/** The next status event that satisfies the condition. */
const told = (maintenance: Maintenance, isRight: (status: MaintenanceStatus) => boolean) =>
  new Promise<MaintenanceStatus>((resolve) => {
    const stop = maintenance.on("change", (status) => {
      if (!isRight(status)) return
      stop()
      resolve(status)
    })
  })
const isAnnounced = ({ announced }: MaintenanceStatus) => announced !== undefined
const isNotAnnounced = (status: MaintenanceStatus) => !isAnnounced(status)
/** Moves the start of the announced window, as if time had passed. */
const beginsAt = (time: string) =>
  `update maintenance.window set starts_at = ${time} where position = 'announced'; select pg_notify('${channelOf("maintenance")}', 'announced')`

describe("An announced window", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  afterEach(async () => {
    const { maintenance } = installed.current
    await endWindow(maintenance)
    expect(await maintenance.status()).not.to.have.property("announced")
  })

  const write = () =>
    installed.current.dataSource.query("insert into audit (note) values ('crate')").then(
      () => "done",
      (error: unknown) => error,
    )
  /** Announces a window. Resolves with its outcome once the announcement is known here. */
  const announce = async (mode: "concurrent" | "exclusive", options: EnterOptions) => {
    const { maintenance } = installed.current
    const announced = told(maintenance, isAnnounced)
    const entered = maintenance.enter(mode, options)
    // The waiting call also receives the event.
    const error = errorOf(entered)
    await announced
    return { entered, error }
  }
  const withdraw = (as = "alice") => installed.current.maintenance.leave({ as })
  const expectWithdrawn = async (error: Promise<unknown>, why: RegExp = takenBack) => {
    expect(await error).to.be.instanceOf(WindowEndedError)
    expect(((await error) as Error).message).to.match(why)
  }
  const takenBack = /^The announced window did not begin: it was cancelled by (alice|bob|break-glass)\.$/
  const missed =
    /^The announced window did not begin: its start was missed, because another user held a window at that time, no process began it in time, a during\(\) of the same user ran until it would have expired, or the process of its during\(\) was gone\.$/
  const replaced =
    /^The announced window did not begin: another window was announced in its place by [a-z-]+; \w+ maintenance by [a-z-]+ /
  /** Resolves when a window entered by another process stands. */
  const stands = async (id: string) => {
    const isStanding = "select from maintenance.window where id = $1 and position = 'standing'"
    await until(async () => (await database.current.sql(isStanding, [id])).length > 0)
  }
  /** Resolves when the process that announced a window is known to be gone. */
  const isGone = async () => {
    await until(async () => (await installed.current.maintenance.status()).announced?.isInterrupted)
  }
  const changesOf = async (id: string) => {
    const kinds = "select kind from maintenance.change where window_id = $1 order by kind"
    return (await database.current.sql<{ kind: string }>(kinds, [id])).map(({ kind }) => kind)
  }
  const endOf = async (id: string) => {
    const end = "select ended_because as because, ended_by as by from maintenance.window where id = $1"
    return (await database.current.sql(end, [id]))[0]
  }
  /** The answer for an instance that tries to begin the window. */
  const beginNow = async (id: string) => {
    const begin = "select maintenance.begin_announced($1) as begun"
    const request = { id, name: randomUUID() }
    return (await database.current.sql<{ begun: unknown }>(begin, [request]))[0]?.begun
  }
  const databaseTime = async () => {
    const [row] = await database.current.sql<{ now: Date }>("select clock_timestamp() as now")
    return (row as { now: Date }).now
  }

  describe("before it begins", () => {
    it("is reported to every process, and restricts nobody", async () => {
      const { dataSource, maintenance } = installed.current
      await withMaintenance(database.current.url, {}, async (other) => {
        const heard = [told(maintenance, isAnnounced), told(other.maintenance, isAnnounced)]
        const options = { ...later, reason: "move the catalog", expiresInMs: 5000 }
        const before = await databaseTime()
        const error = errorOf(maintenance.enter("exclusive", options))
        const events = await Promise.all(heard)
        const after = await databaseTime()
        const read = await Promise.all([maintenance.status(), other.maintenance.status()])
        for (const { announced, ...status } of [...events, ...read]) {
          const { id, startsAt, startsInMs, ...window } = announced as Exclude<typeof announced, undefined>
          expect(window).to.deep.equal({
            mode: "exclusive",
            maintainer: "alice",
            reason: "move the catalog",
            expiresInMs: 5000,
            isInterrupted: false,
          })
          expect(id).to.match(/^[0-9a-f-]{36}$/)
          expect(startsAt).to.be.instanceOf(Date)
          expect(Number(startsAt) - later.startsInMs).to.be.within(Number(before), Number(after))
          expect(startsInMs).to.be.within(1, later.startsInMs)
          expect(status).to.include({ mode: "normal" }).and.not.to.have.property("maintainer")
        }
        expect(read[0]).to.include({ state: "normal", isInterrupted: false })
        expect(await write()).to.equal("done")
        expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
        const over = [told(maintenance, isNotAnnounced), told(other.maintenance, isNotAnnounced)]
        await withdraw()
        await Promise.all(over)
        await expectWithdrawn(error)
      })
    })

    it("is reported without omitted options", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("concurrent", later)
      const { announced } = await maintenance.status()
      expect(announced).to.have.keys("id", "mode", "maintainer", "startsAt", "startsInMs", "isInterrupted")
      await withdraw()
      await expectWithdrawn(error)
    })

    for (const who of ["alice", "break-glass"]) {
      it(`is cancelled by ${who === "alice" ? "the maintainer" : "an emergency user"}, even from another process`, async () => {
        const { maintenance } = installed.current
        const member = await Member.start(database.current.url)
        const announced = told(maintenance, isAnnounced)
        const outcome = member.enter("exclusive", later)
        await announced
        const { epoch } = await maintenance.status()
        expect(await withdraw(who)).to.deep.equal({ mode: "normal", epoch })
        expect(await outcome).to.equal("WindowEndedError")
        expect(await write()).to.equal("done")
        await member.stop()
      })
    }

    it("is cancelled by a leave() that has to be retried, and while another user holds a window", async () => {
      const { maintenance } = installed.current
      const first = await announce("concurrent", later)
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select from maintenance.state for update")
        const left = withdraw()
        // Longer than one attempt may take.
        await client.query("select pg_sleep(0.4); rollback")
        await left
      })
      await expectWithdrawn(first.error)
      const second = await announce("concurrent", later)
      await maintenance.enter("concurrent", { as: "break-glass" })
      await withdraw()
      await expectWithdrawn(second.error)
      await withdraw("break-glass")
    })

    it("is not cancelled by other users", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("concurrent", later)
      const { announced } = await maintenance.status()
      const refusal = (await errorOf(withdraw("bob"))) as NotMaintainerError
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal.message).to.equal(
        "There is nothing to leave: the mode is normal, and only other users have announced windows. Concurrent maintenance by " +
          `alice is announced for ${timeText(announced?.startsAt as Date)}. Only alice or an emergency user may cancel it.`,
      )
      expect(refusal).to.include({ mode: "concurrent", maintainer: "alice" })
      await maintenance.enter("concurrent", { as: "carol" })
      expect(((await errorOf(withdraw("bob"))) as Error).message).to.include("maintenance by carol since")
      await withdraw("carol")
      expect((await maintenance.status()).announced?.startsAt).to.deep.equal(announced?.startsAt)
      await withdraw()
      await expectWithdrawn(error)
    })

    it("is cancelled by an AbortSignal, and the call rejects with the reason of the signal", async () => {
      const { maintenance } = installed.current
      const reason = new Error("shutting down")
      const controller = new AbortController()
      const { error } = await announce("concurrent", { ...later, signal: controller.signal })
      controller.abort(reason)
      expect(await error).to.equal(reason)
      expect(await maintenance.status())
        .to.include({ mode: "normal" })
        .and.not.to.have.property("announced")
      const { signal } = controller
      expect(await errorOf(maintenance.enter("concurrent", { ...later, signal }))).to.equal(reason)
    })

    it("is cancelled by an AbortSignal that is aborted during the announcement", async () => {
      const { maintenance } = installed.current
      const reason = new Error("shutting down")
      const controller = new AbortController()
      let error: Promise<unknown> | undefined
      await withClient(database.current.url, async (client) => {
        await client.query("begin")
        await client.query("select maintenance.lock_state()")
        error = errorOf(maintenance.enter("concurrent", { ...later, signal: controller.signal }))
        const isWaiting = "select from pg_locks where pg_backend_pid() = any (pg_blocking_pids(pid))"
        await until(async () => (await client.query(isWaiting)).rows.length > 0)
        controller.abort(reason)
        await client.query("rollback")
      })
      expect(await error).to.equal(reason)
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("is replaced by another of the same maintainer, even from another process", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = member.enter("exclusive", later)
      await announced
      const second = await announce("concurrent", { ...later, startsInMs: 7_200_000 })
      expect(await outcome).to.equal("WindowEndedError")
      const third = await announce("exclusive", { ...later, reason: "rebuild" })
      await expectWithdrawn(second.error, replaced)
      const status = await maintenance.status()
      expect(status.announced).to.include({ mode: "exclusive", maintainer: "alice", reason: "rebuild" })
      await withdraw()
      await expectWithdrawn(third.error)
      await member.stop()
    })

    it("is replaced immediately by another with the same start, and its call rejects", async () => {
      const { maintenance } = installed.current
      const startsAt = new Date(Number(await databaseTime()) + 3_600_000)
      const changes = [
        { mode: "concurrent", as: "alice", startsAt },
        { mode: "exclusive", as: "alice", startsAt },
        { mode: "exclusive", as: "alice", startsAt, reason: "rebuild" },
        { mode: "exclusive", as: "alice", startsAt, reason: "rebuild", expiresInMs: 5000 },
      ] as const
      let former: Promise<unknown> | undefined
      for (const { mode, ...options } of changes) {
        const { error } = await announce(mode, options)
        if (former) await expectWithdrawn(former, replaced)
        expect((await maintenance.status()).announced).to.include({ mode })
        former = error
      }
      await withdraw()
      await expectWithdrawn(former as Promise<unknown>)
    })

    it("remains single if the same maintainer announces two at once", async () => {
      const { maintenance } = installed.current
      const outcomes: string[] = []
      const both = (["concurrent", "exclusive"] as const).map(async (mode) => {
        const error = errorOf(maintenance.enter(mode, later))
        await error
        outcomes.push(mode)
        await expectWithdrawn(error, outcomes.length === 1 ? replaced : undefined)
      })
      await Promise.race(both)
      const { announced } = await maintenance.status()
      expect(announced?.mode).not.to.equal(outcomes[0])
      await withdraw()
      await Promise.all(both)
    })

    it("is not replaced by another maintainer, whose refusal names the maintainer, the reason and the start", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("exclusive", { ...later, reason: "rebuild" })
      const { startsAt } = (await maintenance.status()).announced as { startsAt: Date }
      const refusal = (await errorOf(
        maintenance.enter("concurrent", { ...later, as: "bob" }),
      )) as NotMaintainerError
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal.message).to.equal(
        "The window was not announced, because it would overlap another one: exclusive maintenance by alice (rebuild) is " +
          `announced for ${timeText(startsAt)}. Only alice or an emergency user may replace that one. Choose another time. ` +
          "A window without expiresInMs or plannedForMs overlaps every window that begins after it.",
      )
      expect(refusal).to.include({ mode: "exclusive", maintainer: "alice", reason: "rebuild" })
      expect(refusal.cause).to.include({ code: "MM008" })
      expect((await maintenance.status()).announced).to.include({ maintainer: "alice" })
      await withdraw()
      await expectWithdrawn(error)
    })

    it("is replaced by an emergency user", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("exclusive", later)
      const urgent = await announce("concurrent", { ...later, as: "break-glass" })
      await expectWithdrawn(error, replaced)
      expect((await maintenance.status()).announced).to.include({ maintainer: "break-glass" })
      expect(await errorOf(maintenance.leave({ as: "alice" }))).to.be.instanceOf(NotMaintainerError)
      await withdraw("break-glass")
      await expectWithdrawn(urgent.error)
    })

    it("is refused while another user holds a window", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "bob", reason: "reindex" })
      const refusal = (await errorOf(maintenance.enter("exclusive", later))) as Error
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal.message).to.include("by bob (reindex)")
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("is refused if its start is in the past", async () => {
      const { maintenance } = installed.current
      const startsAt = new Date(Number(await databaseTime()) - 1)
      const error = (await errorOf(maintenance.enter("concurrent", { as: "alice", startsAt }))) as Error
      expect(error).to.be.instanceOf(MaintenanceInputError)
      expect(error.message).to.match(
        /^The window was not opened: its start is in the past; it is already \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC on the clock of the database\. Choose a later time\.$/,
      )
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("is refused if it starts in more than a year", async () => {
      const { maintenance } = installed.current
      for (const startsAt of [new Date("9999-12-31T23:59:59.999Z"), new Date(8.64e15)]) {
        const error = await errorOf(maintenance.enter("concurrent", { as: "alice", startsAt }))
        expect(error).to.be.instanceOf(MaintenanceInputError)
        expect((error as Error).message).to.match(
          /^The window was not opened: its start is more than a year away; it is only .* on the clock of the database\. Choose an earlier time\.$/,
        )
      }
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("may start months ahead", async () => {
      const { maintenance } = installed.current
      const startsAt = new Date(Number(await databaseTime()) + 300 * 86_400_000)
      const { error } = await announce("concurrent", { as: "alice", startsAt })
      expect((await maintenance.status()).announced?.startsAt).to.deep.equal(startsAt)
      await withdraw()
      await expectWithdrawn(error)
    })
  })

  describe("at its start", () => {
    it("is entered, and its expiry counts from the start", async () => {
      const { maintenance } = installed.current
      const { entered } = await announce("concurrent", { ...soon, reason: "rebuild", expiresInMs: 60_000 })
      const { startsAt } = (await maintenance.status()).announced as { startsAt: Date }
      const status = await entered
      expect(status).to.deep.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
      expect(status).to.deep.include({ unacknowledged: [] }).and.not.to.have.property("announced")
      const { since, expiresAt, retryAfterMs } = status
      expect(Number(since)).to.be.at.least(Number(startsAt))
      expect(Number(expiresAt) - Number(startsAt)).to.equal(60_000)
      expect(retryAfterMs).to.be.within(50_000, 60_000)
      expect((await maintenance.status()).retryAfterMs).to.be.within(50_000, 60_000)
      const veto = await write()
      expect(veto).to.be.instanceOf(WriteVetoedError)
      expect((veto as WriteVetoedError).retryAfterMs).to.be.within(50_000, 60_000)
    })

    it("is entered by the database's clock, even if the application's clock is an hour off", async () => {
      const { maintenance } = installed.current
      const { now } = Date
      const startsAt = new Date(Number(await databaseTime()) + 1000)
      Date.now = () => now() + 3_600_000
      try {
        const { entered } = await announce("concurrent", { as: "alice", startsAt })
        expect((await maintenance.status()).announced?.startsAt).to.deep.equal(startsAt)
        const { since } = await entered
        expect(Number(since) - Number(startsAt)).to.be.within(0, 60_000)
        expect(await write()).to.be.instanceOf(WriteVetoedError)
      } finally {
        Date.now = now
      }
    })

    it("is not entered if another user holds a window, which stays", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("exclusive", later)
      const { epoch } = await maintenance.enter("concurrent", { as: "bob", reason: "reindex" })
      expect((await maintenance.status()).announced).to.include({ maintainer: "alice" })
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await error).to.be.instanceOf(NotMaintainerError)
      expect(((await error) as Error).message).to.include("by bob (reindex)")
      expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "bob", epoch })
      expect(await errorOf(withdraw("alice"))).to.be.instanceOf(NotMaintainerError)
    })

    it("takes over the window of another user if an emergency user has announced it", async () => {
      const { maintenance } = installed.current
      const { entered } = await announce("exclusive", { ...later, as: "break-glass" })
      await maintenance.enter("concurrent", { as: "bob" })
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.include({ mode: "exclusive", maintainer: "break-glass" })
    })

    it("switches the mode of a window that the same maintainer already holds", async () => {
      const { dataSource, maintenance } = installed.current
      const { entered } = await announce("exclusive", later)
      const { since } = await maintenance.enter("concurrent", { as: "alice" })
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.deep.include({ mode: "exclusive", maintainer: "alice", since })
      expect(await errorOf(dataSource.query("select 1"))).to.be.instanceOf(AccessRefusedError)
    })

    it("stays announced if another window of the same maintainer ends before", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("exclusive", later)
      await maintenance.enter("concurrent", { as: "alice" })
      const status = await withdraw()
      expect(status.mode).to.equal("normal")
      expect(status.announced).to.include({ mode: "exclusive" })
      expect(await withdraw()).not.to.have.property("announced")
      await expectWithdrawn(error)
    })

    it("runs the work of during()", async () => {
      const { maintenance } = installed.current
      const announced = told(maintenance, isAnnounced)
      const done = maintenance.during("exclusive", later, async () => {
        const { mode, maintainer } = await maintenance.status()
        await installed.current.dataSource.query("insert into audit (note) values ('mine')")
        return { mode, maintainer }
      })
      await announced
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await done).to.deep.equal({ mode: "exclusive", maintainer: "alice" })
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })

    it("does not hold up iterators over the drain of an earlier window", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("exclusive", later)
      const done = maintenance.during("concurrent", { as: "alice" }, () => undefined)
      for await (const draining of maintenance.draining()) expect(draining).to.equal(undefined)
      await done
      const draining = maintenance.draining()
      await withdraw()
      expect(await draining.next()).to.deep.equal({ value: undefined, done: true })
      await expectWithdrawn(error)
    })

    it("does not run the work of during() if it was cancelled", async () => {
      const { maintenance } = installed.current
      const announced = told(maintenance, isAnnounced)
      const done = errorOf(maintenance.during("exclusive", later, () => expect.fail("the work ran")))
      await announced
      await withdraw()
      await expectWithdrawn(done)
    })
  })

  describe("of a process", () => {
    it("that was killed: begins once by another process, and stands", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = errorOf(
        member.enter("concurrent", { ...later, reason: "rebuild", expiresInMs: 60_000 }),
      )
      const { id } = (await announced).announced as { id: string }
      member.signal("SIGKILL")
      await outcome
      await isGone()
      const entered = told(maintenance, ({ mode }) => mode !== "normal")
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
      expect(await write()).to.be.instanceOf(WriteVetoedError)
      await stands(id)
      const { state, isInterrupted, announced: next, windows } = await maintenance.status()
      expect({ state, isInterrupted, next }).to.deep.equal({
        state: "concurrent",
        isInterrupted: false,
        next: undefined,
      })
      expect(windows.map((window) => window.id)).to.deep.equal([id])
      expect(await changesOf(id)).to.deep.equal(["announced", "begun", "entered", "standing"])
    })

    it("that was killed: is reported as interrupted, and keeps its place", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = errorOf(member.enter("exclusive", later))
      await announced
      const heard = told(maintenance, (status) => status.announced?.isInterrupted === true)
      member.signal("SIGKILL")
      await outcome
      await isGone()
      expect((await heard).announced).to.include({ mode: "exclusive", maintainer: "alice" })
      expect(await errorOf(maintenance.enter("exclusive", { ...later, as: "bob" }))).to.be.instanceOf(
        NotMaintainerError,
      )
      await withdraw("alice")
    })

    it("that was killed in a during(): yields to another user's announcement, and does not begin", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = errorOf(member.act({ during: "exclusive", options: later, sql: "select 1" }))
      const { id } = (await announced).announced as { id: string }
      member.signal("SIGKILL")
      await outcome
      await isGone()
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await beginNow(id)).to.equal(null)
      expect(await write()).to.equal("done")
      const bobs = { ...later, as: "bob" }
      const other = await announce("concurrent", bobs)
      expect(await endOf(id)).to.deep.equal({ because: "taken over", by: "bob" })
      await withdraw("bob")
      await expectWithdrawn(other.error)
    })

    it("that was killed in a during(): is missed a minute later", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = errorOf(member.act({ during: "exclusive", options: later, sql: "select 1" }))
      const { id } = (await announced).announced as { id: string }
      member.signal("SIGKILL")
      await outcome
      await isGone()
      await database.current.sql(beginsAt("clock_timestamp() - interval '61 seconds'"))
      await beginNow(id)
      expect(await endOf(id)).to.deep.equal({ because: "missed", by: null })
      expect(await write()).to.equal("done")
    })

    it("whose watch lost its connection: is reported as interrupted until the watch is back", async () => {
      const { maintenance } = installed.current
      const { entered } = await announce("concurrent", later)
      const heard = [true, false].map((isInterrupted) =>
        told(maintenance, ({ announced }) => announced?.isInterrupted === isInterrupted),
      )
      await endOwnSessions(database.current)
      await Promise.all(heard)
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.include({ mode: "concurrent" })
    })

    it("that is stopped: begins by another process, and the call of the stopped process still resolves", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = member.enter("concurrent", { ...later, acknowledgeWithinMs: 100 })
      const { id } = (await announced).announced as { id: string }
      member.signal("SIGSTOP")
      const entered = told(maintenance, ({ mode }) => mode !== "normal")
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.include({ mode: "concurrent", maintainer: "alice" })
      await stands(id)
      expect(await write()).to.be.instanceOf(WriteVetoedError)
      member.signal("SIGCONT")
      expect(await outcome).to.equal("done")
      expect(await changesOf(id)).to.deep.equal(["announced", "begun", "entered", "standing"])
      await member.stop()
    })

    it("that is stopped: rejects if another process has begun the window and a user has ended it", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = member.enter("concurrent", { ...later, acknowledgeWithinMs: 100 })
      const { id } = (await announced).announced as { id: string }
      member.signal("SIGSTOP")
      const entered = told(maintenance, ({ mode }) => mode !== "normal")
      await database.current.sql(beginsAt("clock_timestamp()"))
      await entered
      await stands(id)
      await maintenance.leave({ as: "break-glass" })
      member.signal("SIGCONT")
      expect(await outcome).to.equal("WindowEndedError")
      expect(await write()).to.equal("done")
      await member.stop()
    })

    it("that is hours late: begins nevertheless, and ends as announced", async () => {
      const { maintenance } = installed.current
      const options = { ...later, plannedForMs: 3_700_000, expiresInMs: 4_000_000 }
      const { entered } = await announce("concurrent", options)
      const { startsAt } = (await maintenance.status()).announced as { startsAt: Date }
      // Simulates the passage of two hours.
      await database.current.sql(
        `update maintenance.window set starts_at = starts_at - interval '2 hours', planned_at = planned_at - interval '2 hours',
           expires_at = expires_at - interval '2 hours' where position = 'announced';
         select pg_notify('${channelOf("maintenance")}', 'announced')`,
      )
      const { expiresAt, plannedUntil } = await entered
      expect(Number(expiresAt) - Number(startsAt)).to.equal(4_000_000 - 7_200_000)
      expect(Number(plannedUntil) - Number(startsAt)).to.equal(3_700_000 - 7_200_000)
    })

    it("that is late until after its expiry: is missed, and the call rejects", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("concurrent", { ...later, expiresInMs: 5000 })
      const { id } = (await maintenance.status()).announced as { id: string }
      await database.current.sql(
        `update maintenance.window set starts_at = clock_timestamp() - interval '6 seconds',
           expires_at = clock_timestamp() - interval '1 second' where position = 'announced';
         select pg_notify('${channelOf("maintenance")}', 'announced')`,
      )
      await expectWithdrawn(error, missed)
      expect(await endOf(id)).to.deep.equal({ because: "missed", by: null })
      expect(await write()).to.equal("done")
    })

    it("that destroys its DataSource: is cancelled, and the call rejects immediately and keeps nothing alive", async () => {
      const ended = await runScript("announcer", database.current.url)
      expect(ended).to.deep.equal({ message: "StateUnavailableError", code: 0 })
    })

    const stops: Record<string, (one: Installed) => Promise<void>> = {
      "destroys its DataSource": ({ dataSource }) => dataSource.destroy(),
      "uninstalls the plugin": ({ maintenance }) => maintenance.uninstall(),
    }
    for (const [what, stop] of Object.entries(stops)) {
      it(`that ${what}: is cancelled, and the call rejects with the reason`, async () => {
        let error: Promise<unknown> | undefined
        await withMaintenance(database.current.url, {}, async (other) => {
          const announced = told(other.maintenance, isAnnounced)
          error = errorOf(other.maintenance.enter("concurrent", { ...later, reason: "rebuild" }))
          await announced
          await stop(other)
        })
        expect(await error).to.be.instanceOf(StateUnavailableError)
        expect(((await error) as Error).message).to.equal(
          "The DataSource was destroyed, or maintenance mode was uninstalled from it, so the announcement was cancelled. " +
            "The concurrent maintenance by alice (rebuild) does not begin.",
        )
        expect(await installed.current.maintenance.status()).not.to.have.property("announced")
      })
    }
  })
})

describe("An announced window on a server that crashes", () => {
  it("stays announced, and the waiting enter() enters it at its start", async () => {
    const server = await startEmbeddedServer()
    try {
      await withMaintenance(server.url, {}, async ({ maintenance }) => {
        const announced = told(maintenance, isAnnounced)
        const entered = maintenance.enter("concurrent", later)
        const { startsAt } = (await announced).announced as { startsAt: Date }
        await server.crash()
        const status = await statusThat(maintenance, () => true)
        expect(status.announced?.startsAt).to.deep.equal(startsAt)
        await withClient(server.url, (client) => client.query(beginsAt("clock_timestamp()")))
        expect(await entered).to.include({ mode: "concurrent", maintainer: "alice" })
      })
    } finally {
      await server.stop()
    }
  })
})
