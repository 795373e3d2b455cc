import { expect } from "chai"
import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
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
} from "../src"
import { channelOf } from "../src/state/schema"
import { type Installed, useMaintenance, withMaintenance } from "./support/data-source"
import { useDatabase, withClient } from "./support/database"
import { startEmbeddedServer } from "./support/embedded-server"
import { errorOf } from "./support/error-of"
import { Member } from "./support/members"
import { openShop } from "./support/shop"

/** So far away that it does not begin while a test runs. */
const later = { as: "alice", startsInMs: 3_600_000 } as const
const soon = { as: "alice", startsInMs: 1000 } as const

/** The next status that a process is told of, and that is right. */
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
/** Has what is announced begin at another time, as if so much time had passed. */
const beginsAt = (time: string) =>
  `update maintenance.window set starts_at = ${time} where position = 'announced'; select pg_notify('${channelOf("maintenance")}', 'announced')`

describe("A window that is announced", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  afterEach(async () => {
    const { maintenance } = installed.current
    if ((await maintenance.status()).mode !== "normal") await maintenance.leave({ as: "break-glass" })
    expect(await maintenance.status()).not.to.have.property("announced")
  })

  const write = () =>
    installed.current.dataSource.query("insert into audit (note) values ('crate')").then(
      () => "done",
      (error: unknown) => error,
    )
  /** Announces it; resolves when that is known here, with what is to come of it. */
  const announce = async (mode: "concurrent" | "exclusive", options: EnterOptions) => {
    const { maintenance } = installed.current
    const announced = told(maintenance, isAnnounced)
    const entered = maintenance.enter(mode, options)
    // Whoever waits for it hears of it.
    const error = errorOf(entered)
    await announced
    return { entered, error }
  }
  const withdraw = (as = "alice") => installed.current.maintenance.leave({ as })
  const expectWithdrawn = async (error: Promise<unknown>, why: RegExp | string = "it was taken back") => {
    expect(await error).to.be.instanceOf(WindowEndedError)
    const { message } = (await error) as Error
    if (typeof why === "string") expect(message).to.equal(`The announced maintenance did not begin: ${why}.`)
    else expect(message).to.match(why)
  }
  const replaced =
    /^The announced maintenance did not begin: another was announced instead; \w+ maintenance by [a-z-]+ /
  const sleepUntil = (time: Date | undefined) =>
    database.current.sql("select pg_sleep_until($1::timestamptz + interval '1 millisecond')", [time])
  const databaseTime = async () => {
    const [row] = await database.current.sql<{ now: Date }>("select clock_timestamp() as now")
    return (row as { now: Date }).now
  }

  describe("before it begins", () => {
    it("is told to every process, and restricts nobody", async () => {
      const { dataSource, maintenance } = installed.current
      await withMaintenance(database.current.url, {}, async (other) => {
        const heard = [told(maintenance, isAnnounced), told(other.maintenance, isAnnounced)]
        const options = { ...later, reason: "move the catalog", expiresInMs: 5000 }
        const error = errorOf(maintenance.enter("exclusive", options))
        const before = await databaseTime()
        const events = await Promise.all(heard)
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
          expect(Number(startsAt) - Number(before)).to.be.within(3_590_000, 3_600_000)
          expect(startsInMs).to.be.within(3_590_000, 3_600_000)
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

    it("leaves out what was not said", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("concurrent", later)
      const { announced } = await maintenance.status()
      expect(announced).to.have.keys("mode", "maintainer", "startsAt", "startsInMs", "isInterrupted")
      await withdraw()
      await expectWithdrawn(error)
    })

    for (const who of ["alice", "break-glass"]) {
      it(`is taken back by ${who === "alice" ? "the maintainer" : "an emergency user"}, in another process, too`, async () => {
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

    it("is taken back by a leave() that is asked again, and while somebody else holds a window", async () => {
      const { maintenance } = installed.current
      const first = await announce("concurrent", later)
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select from maintenance.state for update")
        const left = withdraw()
        // Longer than one attempt takes.
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

    it("is not taken back by a stranger", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("concurrent", later)
      const { announced } = await maintenance.status()
      const refusal = (await errorOf(withdraw("bob"))) as NotMaintainerError
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal.message).to.equal(
        "Nothing to leave: the mode is normal, and what is announced is not yours. Concurrent maintenance by alice is " +
          `announced for ${announced?.startsAt.toISOString()}; only alice or an emergency user may take it back.`,
      )
      expect(refusal).to.include({ mode: "concurrent", maintainer: "alice" })
      await maintenance.enter("concurrent", { as: "carol" })
      expect(((await errorOf(withdraw("bob"))) as Error).message).to.include("held since")
      await withdraw("carol")
      expect((await maintenance.status()).announced?.startsAt).to.deep.equal(announced?.startsAt)
      await withdraw()
      await expectWithdrawn(error)
    })

    it("is taken back by a signal, whose reason it rejects with", async () => {
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

    it("is taken back by a signal that comes while it is being announced", async () => {
      const { maintenance } = installed.current
      const reason = new Error("shutting down")
      const controller = new AbortController()
      let error: Promise<unknown> | undefined
      await withClient(database.current.url, async (client) => {
        await client.query("begin")
        await client.query("select maintenance.lock_state()")
        error = errorOf(maintenance.enter("concurrent", { ...later, signal: controller.signal }))
        const isWaiting = "select from pg_locks where pg_backend_pid() = any (pg_blocking_pids(pid))"
        while ((await client.query(isWaiting)).rowCount === 0);
        controller.abort(reason)
        await client.query("rollback")
      })
      expect(await error).to.equal(reason)
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("is replaced by another of the same maintainer, in another process, too", async () => {
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

    it("is replaced at once by another for the same time, and that is told", async () => {
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

    it("is one, of two that the same maintainer announces at once", async () => {
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

    it("is not replaced by another maintainer, who is told by whom it is, why, and for when", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("exclusive", { ...later, reason: "rebuild" })
      const { startsAt } = (await maintenance.status()).announced as { startsAt: Date }
      const refusal = (await errorOf(
        maintenance.enter("concurrent", { ...later, as: "bob" }),
      )) as NotMaintainerError
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal.message).to.equal(
        `Mode not announced: exclusive maintenance by alice (rebuild) is announced for ${startsAt.toISOString()}; ` +
          "only alice or an emergency user may announce another before.",
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

    it("is not announced while somebody else holds a window", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "bob", reason: "reindex" })
      const refusal = (await errorOf(maintenance.enter("exclusive", later))) as Error
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal.message).to.include("by bob (reindex)")
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("is not announced for a time that is past", async () => {
      const { maintenance } = installed.current
      const startsAt = new Date(Number(await databaseTime()) - 1)
      const error = (await errorOf(maintenance.enter("concurrent", { as: "alice", startsAt }))) as Error
      expect(error).to.be.instanceOf(MaintenanceInputError)
      expect(error.message).to.match(
        /^A window cannot begin at that time: it is .* already, by the database's clock\.$/,
      )
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("cannot be more than a year away", async () => {
      const { maintenance } = installed.current
      for (const startsAt of [new Date("9999-12-31T23:59:59.999Z"), new Date(8.64e15)]) {
        const error = await errorOf(maintenance.enter("concurrent", { as: "alice", startsAt }))
        expect(error).to.be.instanceOf(MaintenanceInputError)
        expect((error as Error).message).to.match(
          /^A window cannot begin at that time: it is only .*, and a window begins within a year, by the database's clock\.$/,
        )
      }
      expect(await maintenance.status()).not.to.have.property("announced")
    })

    it("can be months away", async () => {
      const { maintenance } = installed.current
      const startsAt = new Date(Number(await databaseTime()) + 300 * 86_400_000)
      const { error } = await announce("concurrent", { as: "alice", startsAt })
      expect((await maintenance.status()).announced?.startsAt).to.deep.equal(startsAt)
      await withdraw()
      await expectWithdrawn(error)
    })
  })

  describe("when its time has come", () => {
    it("is entered, and ends so much later", async () => {
      const { maintenance } = installed.current
      const { entered } = await announce("concurrent", { ...soon, reason: "rebuild", expiresInMs: 60_000 })
      const { startsAt } = (await maintenance.status()).announced as { startsAt: Date }
      const status = await entered
      expect(status).to.deep.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
      expect(status).to.deep.include({ unacknowledged: [] }).and.not.to.have.property("announced")
      const { since, expiresAt, retryAfterMs } = status
      expect(Number(since)).to.be.at.least(Number(startsAt))
      expect(Number(expiresAt) - Number(since)).to.be.within(60_000, 60_100)
      expect(retryAfterMs).to.be.within(50_000, 60_000)
      expect((await maintenance.status()).retryAfterMs).to.be.within(50_000, 60_000)
      const veto = await write()
      expect(veto).to.be.instanceOf(WriteVetoedError)
      expect((veto as WriteVetoedError).retryAfterMs).to.be.within(50_000, 60_000)
    })

    it("is entered by the database's clock, if that of the application is an hour off", async () => {
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

    it("is not entered when somebody else holds a window, who keeps it", async () => {
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

    it("takes over what somebody else holds, if an emergency user has announced it", async () => {
      const { maintenance } = installed.current
      const { entered } = await announce("exclusive", { ...later, as: "break-glass" })
      await maintenance.enter("concurrent", { as: "bob" })
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.include({ mode: "exclusive", maintainer: "break-glass" })
    })

    it("switches the mode of a window that the same maintainer holds by then", async () => {
      const { dataSource, maintenance } = installed.current
      const { entered } = await announce("exclusive", later)
      const { since } = await maintenance.enter("concurrent", { as: "alice" })
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.deep.include({ mode: "exclusive", maintainer: "alice", since })
      expect(await errorOf(dataSource.query("select 1"))).to.be.instanceOf(AccessRefusedError)
    })

    it("stays announced when another window of the same maintainer ends before", async () => {
      const { maintenance } = installed.current
      const { error } = await announce("exclusive", later)
      await maintenance.enter("concurrent", { as: "alice" })
      const status = await withdraw()
      expect(status.mode).to.equal("normal")
      expect(status.announced).to.include({ mode: "exclusive" })
      expect(await withdraw()).not.to.have.property("announced")
      await expectWithdrawn(error)
    })

    it("has the work of during() run in it", async () => {
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

    it("is not waited for by who follows what is entered before", async () => {
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

    it("has the work of during() not run if it was taken back", async () => {
      const { maintenance } = installed.current
      const announced = told(maintenance, isAnnounced)
      const done = errorOf(maintenance.during("exclusive", later, () => expect.fail("the work ran")))
      await announced
      await withdraw()
      await expectWithdrawn(done)
    })
  })

  describe("by a process", () => {
    it("that is killed: lapses, is told to be gone, and nothing begins", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = errorOf(member.enter("exclusive", soon))
      const status = await announced
      const lapsed = told(maintenance, isNotAnnounced)
      member.signal("SIGKILL")
      await outcome
      expect(await lapsed).to.deep.equal({ mode: "normal", epoch: status.epoch })
      await sleepUntil(status.announced?.startsAt)
      expect(await write()).to.equal("done")
      expect(await errorOf(withdraw("alice"))).to.be.instanceOf(MaintenanceInputError)
      await maintenance.enter("concurrent", { as: "bob" })
    })

    it("that is killed: is said to be gone, and makes room for another's announcement before its time", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = errorOf(member.enter("exclusive", later))
      await announced
      const bobs = { ...later, as: "bob" }
      expect(await errorOf(maintenance.enter("exclusive", bobs))).to.be.instanceOf(NotMaintainerError)
      const heard = told(maintenance, (status) => status.announced?.isInterrupted === true)
      member.signal("SIGKILL")
      await outcome
      let status = await maintenance.status()
      while (!status.announced?.isInterrupted) status = await maintenance.status()
      expect(status.announced).to.include({ mode: "exclusive", maintainer: "alice" })
      await heard
      const ours = told(maintenance, (other) => other.announced?.maintainer === "bob")
      const error = errorOf(maintenance.enter("exclusive", bobs))
      expect((await ours).announced).to.include({ isInterrupted: false })
      await withdraw("bob")
      await expectWithdrawn(error)
    })

    it("whose watch is cut off: is said to be gone until that is there again", async () => {
      const { maintenance } = installed.current
      const { entered } = await announce("concurrent", later)
      const heard = [true, false].map((isInterrupted) =>
        told(maintenance, ({ announced }) => announced?.isInterrupted === isInterrupted),
      )
      await database.current.sql(
        `select pg_terminate_backend(pid, 60000) from pg_stat_activity
         where application_name = 'typeorm-maintenance-mode' and datname = current_database()`,
      )
      await Promise.all(heard)
      await database.current.sql(beginsAt("clock_timestamp()"))
      expect(await entered).to.include({ mode: "concurrent" })
    })

    it("that is stopped, and goes on within a minute: begins late", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = member.enter("concurrent", soon)
      const { startsAt } = (await announced).announced as { startsAt: Date }
      member.signal("SIGSTOP")
      await sleepUntil(startsAt)
      expect(await write()).to.equal("done")
      expect(await maintenance.status())
        .to.include({ mode: "normal" })
        .and.not.to.have.property("announced")
      member.signal("SIGCONT")
      expect(await outcome).to.equal("done")
      expect(await write()).to.be.instanceOf(WriteVetoedError)
      await member.stop()
    })

    it("that is stopped, and goes on a minute late: does not begin", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = member.enter("concurrent", later)
      await announced
      member.signal("SIGSTOP")
      const lapsed = told(maintenance, isNotAnnounced)
      await database.current.sql(beginsAt("clock_timestamp() - interval '61 seconds'"))
      await lapsed
      member.signal("SIGCONT")
      expect(await outcome).to.equal("WindowEndedError")
      expect(await write()).to.equal("done")
      await member.stop()
    })

    it("that is a minute late: does not begin, and says how late it was", async () => {
      const { error } = await announce("concurrent", later)
      await database.current.sql(beginsAt("clock_timestamp() - interval '61 seconds'"))
      await expectWithdrawn(
        error,
        /^The announced maintenance did not begin: its time was missed by 6\d s, for this process was stopped, /,
      )
    })

    it("that is stopped, and late: makes room for another's announcement", async () => {
      const { maintenance } = installed.current
      const member = await Member.start(database.current.url)
      const announced = told(maintenance, isAnnounced)
      const outcome = member.enter("concurrent", later)
      await announced
      member.signal("SIGSTOP")
      await database.current.sql(beginsAt("clock_timestamp()"))
      const other = await announce("exclusive", { ...later, as: "bob" })
      member.signal("SIGCONT")
      expect(await outcome).to.equal("WindowEndedError")
      expect((await maintenance.status()).announced).to.include({ maintainer: "bob" })
      await withdraw("bob")
      await expectWithdrawn(other.error)
      await member.stop()
    })

    it("that destroys its DataSource: rejects at once, takes it back, and keeps nothing alive", async () => {
      const announcer = fork(join(__dirname, "support/announcer.js"), [database.current.url])
      const exited = once(announcer, "exit")
      expect((await once(announcer, "message"))[0]).to.equal("StateUnavailableError")
      expect(await exited).to.deep.equal([0, null])
    })

    const stops: Record<string, (one: Installed) => Promise<void>> = {
      "destroys its DataSource": ({ dataSource }) => dataSource.destroy(),
      "uninstalls the plugin": ({ maintenance }) => maintenance.uninstall(),
    }
    for (const [what, stop] of Object.entries(stops)) {
      it(`that ${what}: rejects with what has happened, and takes it back`, async () => {
        let error: Promise<unknown> | undefined
        await withMaintenance(database.current.url, {}, async (other) => {
          const announced = told(other.maintenance, isAnnounced)
          error = errorOf(other.maintenance.enter("concurrent", { ...later, reason: "rebuild" }))
          await announced
          await stop(other)
        })
        expect(await error).to.be.instanceOf(StateUnavailableError)
        expect(((await error) as Error).message).to.equal(
          "The DataSource was destroyed, or maintenance mode uninstalled from it, so what was announced is taken back: " +
            "the concurrent maintenance of alice (rebuild) does not begin.",
        )
        expect(await installed.current.maintenance.status()).not.to.have.property("announced")
      })
    }
  })
})

describe("A window that is announced on a server that crashes", () => {
  it("stays so, and is entered at its time by the enter() that waits", async () => {
    const server = await startEmbeddedServer()
    try {
      await withMaintenance(server.url, {}, async ({ maintenance }) => {
        const announced = told(maintenance, isAnnounced)
        const entered = maintenance.enter("concurrent", later)
        const { startsAt } = (await announced).announced as { startsAt: Date }
        await server.crash()
        let status: MaintenanceStatus | undefined
        while (!status) status = await maintenance.status().catch(() => undefined)
        expect(status.announced?.startsAt).to.deep.equal(startsAt)
        await withClient(server.url, (client) => client.query(beginsAt("clock_timestamp()")))
        expect(await entered).to.include({ mode: "concurrent", maintainer: "alice" })
      })
    } finally {
      await server.stop()
    }
  })
})
