import { expect } from "chai"
import { randomUUID } from "node:crypto"
import { Client } from "pg"
import {
  type AnnounceOptions,
  type Maintenance,
  MaintenanceInputError,
  type MaintenanceStatus,
  NotMaintainerError,
  WriteVetoedError,
} from "../../src"
import { channelOf } from "../../src/state/schema"
import { timeText } from "../../src/text"
import { Barrier } from "../support/barrier"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { startEmbeddedServer } from "../support/embedded-server"
import { errorOf } from "../support/error-of"
import { Member } from "../support/members"
import { openShop } from "../support/shop"
import { warning } from "../support/warning"
import { statusThat, until } from "../support/until"
import { endWindow } from "../support/window"

const hourMs = 3_600_000
const later = { as: "alice", startsInMs: hourMs } as const
const notify = `select pg_notify('${channelOf("maintenance")}', 'announced')`
/** Makes the announced window due since the given time. It expires `expiresInMs` later. */
const hasCome = (agoMs = 0) =>
  `update maintenance.window set starts_at = w.now, expires_at = w.now + (request ->> 'expires_in_ms')::double precision * interval '1 ms'
   from (select clock_timestamp() - ${agoMs} * interval '1 ms' as now) as w where position = 'announced'; ${notify}`

/** The next status event that satisfies the condition. */
const told = (maintenance: Maintenance, isRight: (status: MaintenanceStatus) => boolean) =>
  new Promise<MaintenanceStatus>((resolve) => {
    const stop = maintenance.on("change", (status) => {
      if (!isRight(status)) return
      stop()
      resolve(status)
    })
  })

interface Row {
  readonly position: string
  readonly ended_because: string | null
  readonly ended_by: string | null
  readonly begun_at: Date | null
}

describe("announce()", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  afterEach(async () => {
    const { maintenance } = installed.current
    await endWindow(maintenance)
    await maintenance.leave({ as: "break-glass", ifHeld: true })
    for (const { id } of await announced()) await maintenance.cancel(id, { as: "break-glass" })
  })

  const announce = (
    options: Partial<AnnounceOptions> = {},
    mode: "concurrent" | "exclusive" = "concurrent",
  ) => installed.current.maintenance.announce(mode, { ...later, ...options })
  const announced = async () =>
    (await installed.current.maintenance.status()).windows.filter(({ position }) => position === "announced")
  const row = async (id: string) =>
    (await database.current.sql<Row>("select * from maintenance.window where id = $1", [id]))[0] as Row
  const changesOf = async (id: string) => {
    const kinds = "select kind, made_by from maintenance.change where window_id = $1 order by kind"
    return (await database.current.sql<{ kind: string; made_by: string }>(kinds, [id])).map(
      ({ kind, made_by }) => `${kind} by ${made_by}`,
    )
  }
  const isIn = async (id: string, position: string) => {
    await until(async () => (await row(id)).position === position)
  }
  const write = () => errorOf(installed.current.dataSource.query("insert into audit (note) values ('crate')"))
  const begin = (id: string, name: string = randomUUID()) =>
    database.current
      .sql<{ begun: object | null }>("select maintenance.begin_announced($1) as begun", [{ id, name }])
      .then(([found]) => found?.begun)

  it("resolves at once with an id and the start, and the window begins on time", async () => {
    const { maintenance } = installed.current
    const { id, startsAt } = await announce({ reason: "rebuild", expiresInMs: 60_000, startsInMs: 1000 })
    expect(await announced()).to.have.nested.property("[0].id", id)
    expect((await maintenance.status()).announced?.startsAt).to.deep.equal(startsAt)
    const entered = await told(maintenance, ({ mode }) => mode !== "normal")
    expect(entered).to.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
    expect(Number(entered.expiresAt) - Number(startsAt)).to.be.within(60_000, 60_001)
    expect(Number(entered.since)).to.be.at.least(Number(startsAt))
    expect(await write()).to.be.instanceOf(WriteVetoedError)
    await isIn(id, "standing")
    expect(await changesOf(id)).to.deep.equal([
      "announced by alice",
      "begun by alice",
      "entered by alice",
      "standing by alice",
    ])
    expect((await maintenance.status()).windows.map((window) => window.id)).to.deep.equal([id])
  })

  it("keeps its window when its DataSource is destroyed, and another process begins it", async () => {
    const { maintenance } = installed.current
    const { id } = await withMaintenance(database.current.url, {}, async (other) =>
      other.maintenance.announce("concurrent", later),
    )
    expect(await announced()).to.have.nested.property("[0].id", id)
    const entered = told(maintenance, ({ mode }) => mode !== "normal")
    await database.current.sql(hasCome())
    expect(await entered).to.include({ mode: "concurrent", maintainer: "alice" })
    await isIn(id, "standing")
  })

  it("keeps its window when its process is killed, and another process begins it", async () => {
    const { maintenance } = installed.current
    const member = await Member.start(database.current.url)
    expect(
      await member.act({ announce: "concurrent", options: { ...later, acknowledgeWithinMs: 100 } }),
    ).to.equal("done")
    member.signal("SIGKILL")
    const [window] = await announced()
    expect(window).to.include({ isInterrupted: false })
    const entered = told(maintenance, ({ mode }) => mode !== "normal")
    await database.current.sql(hasCome())
    expect(await entered).to.include({ mode: "concurrent", maintainer: "alice" })
    await isIn(window?.id as string, "standing")
  })

  it("does not let its window inherit the expiry, the lease or the reason of a window that its maintainer already holds", async () => {
    const { maintenance } = installed.current
    const { id } = await announce({}, "exclusive")
    const terms = { expiresInMs: 60_000, plannedForMs: 5000, reason: "other", message: "other" }
    await maintenance.enter("concurrent", { as: "alice", heldWhile: "alive", ...terms })
    const entered = told(maintenance, ({ mode }) => mode === "exclusive")
    await database.current.sql(hasCome())
    const status = await entered
    for (const fact of ["expiresAt", "graceMs", "plannedUntil", "reason", "message"])
      expect(status).not.to.have.property(fact)
    await isIn(id, "standing")
  })

  it("defers its window until a during() of its maintainer has ended", async () => {
    const { maintenance } = installed.current
    const { id } = await announce()
    const entered = told(maintenance, ({ mode }) => mode === "concurrent")
    await maintenance.during("exclusive", { as: "alice" }, async () => {
      await database.current.sql(hasCome())
      expect(await begin(id)).to.deep.equal({ starts_in_ms: 1000 })
      expect(await maintenance.status()).to.include({ mode: "exclusive" })
    })
    await entered
    await isIn(id, "standing")
  })

  it("lets its window be missed if another user holds a window at its start", async () => {
    const { maintenance } = installed.current
    const { id } = await announce()
    await maintenance.enter("concurrent", { as: "bob" })
    const over = told(maintenance, (status) => status.announced === undefined)
    await database.current.sql(hasCome())
    expect(await over).to.include({ mode: "concurrent", maintainer: "bob" })
    expect(await row(id)).to.include({ ended_because: "missed", ended_by: null, begun_at: null })
  })

  it("lets its window be drained as specified; a failed drain abandons it with a process warning", async () => {
    const { maintenance } = installed.current
    const { id } = await announce(
      { reason: "rebuild", drain: { withinMs: 50, then: "abandon" } },
      "exclusive",
    )
    await withClient(database.current.url, async (client) => {
      await client.query("begin; insert into audit (note) values ('open')")
      const warned = warning(/^This process began the announced exclusive maintenance by alice \(rebuild\), /)
      await database.current.sql(hasCome())
      expect(await warned).to.include("1 transaction of other users was still open after 50 ms")
      await client.query("rollback")
    })
    expect(await row(id)).to.include({ position: "over", ended_because: "abandoned" })
    expect(await maintenance.status()).to.include({ mode: "normal" })
  })

  it("leaves its window in force, reported as interrupted, if the process that began it dies", async () => {
    const { maintenance } = installed.current
    const member = await Member.start(database.current.url)
    await withClient(database.current.url, async (client) => {
      await client.query("begin; insert into audit (note) values ('open')")
      await member.act({ announce: "exclusive", options: later })
      const [window] = await announced()
      const entered = told(maintenance, ({ mode }) => mode !== "normal")
      await database.current.sql(hasCome())
      await entered
      expect(await maintenance.status()).to.include({ state: "entering", isInterrupted: false })
      member.signal("SIGKILL")
      const status = await statusThat(maintenance, ({ isInterrupted }) => isInterrupted)
      expect(status).to.include({ state: "exclusive", maintainer: "alice" })
      expect(status.windows[0]).to.include({ id: window?.id, position: "entering" })
      await client.query("rollback")
    })
  })

  describe("without a live process at the start", () => {
    const alone = async (options: AnnounceOptions, agoMs: number) => {
      const member = await Member.start(database.current.url)
      await member.act({ announce: "concurrent", options })
      await member.stop()
      const [{ id }] = (await database.current.sql(
        "select id from maintenance.window where position = 'announced'",
      )) as [{ id: string }]
      await database.current.sql(hasCome(agoMs))
      return id
    }
    beforeEach(() => installed.current.dataSource.destroy())

    it("begins its window late through the first process to appear, with the announced end", async () => {
      const id = await alone({ ...later, expiresInMs: hourMs }, 60_000)
      await installed.current.dataSource.initialize()
      await isIn(id, "standing")
      const { expiresAt, since } = await installed.current.maintenance.status()
      expect(Number(expiresAt) - Number(since)).to.be.below(hourMs - 60_000)
    })

    it("lets its window be missed if it would have expired", async () => {
      const id = await alone({ ...later, expiresInMs: 5000 }, 5001)
      await installed.current.dataSource.initialize()
      await isIn(id, "over")
      expect(await row(id)).to.include({ ended_because: "missed", begun_at: null })
      expect(await changesOf(id)).to.deep.equal(["announced by alice", "missed by null"])
      expect(await installed.current.maintenance.status()).to.include({ mode: "normal" })
    })
  })

  describe("concurrent starts", () => {
    it("of twenty instances begin the window once", async () => {
      const { id } = await announce()
      const clients = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const client = new Client({ connectionString: database.current.url })
          await client.connect()
          return client
        }),
      )
      const barrier = await Barrier.close(database.current.url)
      await database.current.sql(hasCome().replace(notify, "select 1"))
      const begun = clients.map((client) =>
        client.query(
          `select maintenance.begin_announced($1) as begun from (select pg_advisory_lock_shared(${barrier.key})) as passed`,
          [{ id, name: randomUUID() }],
        ),
      )
      await barrier.waiting(20)
      await barrier.open()
      const outcomes = await Promise.allSettled(begun)
      await Promise.all(clients.map((client) => client.end()))
      const won = outcomes.filter((one) => one.status === "fulfilled" && one.value.rows[0].begun !== null)
      expect(won).to.have.length(1)
      expect(await changesOf(id)).to.deep.equal(["announced by alice", "begun by alice", "entered by alice"])
    })

    it("under the same name begin the window once, and under an abandoned name never", async () => {
      const { id } = await announce()
      expect(await begin(id)).to.have.keys("starts_in_ms")
      await database.current.sql("select maintenance.void('{late}')")
      await database.current.sql(hasCome().replace(notify, "select 1"))
      expect(await begin(id, "late")).to.equal(null)
      const first = (await begin(id, "begun once")) as { epoch: number }
      expect(first).to.have.nested.property("request.mode", "concurrent")
      expect(await begin(id, "begun once")).to.have.property("epoch", first.epoch)
      expect(await begin(id, "other")).to.equal(null)
    })

    it("by a late enter() do not begin the window twice", async () => {
      const { maintenance } = installed.current
      const known = told(maintenance, (status) => status.announced !== undefined)
      const entered = maintenance.enter("concurrent", later)
      const { id } = (await known).announced as { id: string }
      // In one transaction, so that the enter() cannot begin it first.
      await withClient(database.current.url, async (client) => {
        await client.query(`begin; ${hasCome()}`)
        await client.query("select maintenance.begin_announced($1)", [{ id, name: randomUUID() }])
        await client.query("commit")
      })
      expect(await entered).to.include({ mode: "concurrent" })
      expect(await changesOf(id)).to.deep.equal([
        "announced by alice",
        "begun by alice",
        "entered by alice",
        "standing by alice",
      ])
    })
  })

  describe("repeated calls", () => {
    it("announce once, regardless of what has become of the window", async () => {
      const { maintenance } = installed.current
      const request = {
        id: "asked",
        mode: "concurrent",
        acting_user: "alice",
        is_emergency: false,
        starts_in_ms: hourMs,
      }
      const ask = async () =>
        (await database.current.sql("select maintenance.announce($1) as at", [request]))[0]
      const first = await ask()
      expect(await ask()).to.deep.equal(first)
      await maintenance.cancel("asked", { as: "alice" })
      expect(await ask()).to.deep.equal(first)
      expect(await announced()).to.deep.equal([])
    })

    it("do not announce a window that was abandoned", async () => {
      await database.current.sql("select maintenance.void('{given-up}')")
      const request = {
        id: "given-up",
        mode: "concurrent",
        acting_user: "alice",
        is_emergency: false,
        starts_in_ms: hourMs,
      }
      const asked = database.current.sql("select maintenance.announce($1)", [request])
      expect(await errorOf(asked)).to.have.property("code", "MM006")
    })

    it("cancel once", async () => {
      const { id } = await announce()
      const ask = () =>
        database.current.sql("select maintenance.cancel($1, 'alice', false, 'taking back')", [id])
      await ask()
      await ask()
      expect(await changesOf(id)).to.deep.equal(["announced by alice", "cancelled by alice"])
    })
  })

  describe("several windows", () => {
    const at = (hours: number) => ({ startsInMs: hours * hourMs })

    it("are announced if they do not overlap, and leave() cancels those of the user", async () => {
      const { maintenance } = installed.current
      const second = await announce({ ...at(2), expiresInMs: hourMs })
      const first = await announce({ ...at(1), plannedForMs: hourMs / 2 })
      const others = await announce({ ...at(4), as: "bob" })
      expect((await announced()).map(({ id }) => id)).to.deep.equal([first.id, second.id, others.id])
      expect((await maintenance.status()).announced).to.include({ id: first.id })
      await maintenance.leave({ as: "alice" })
      expect((await announced()).map(({ id }) => id)).to.deep.equal([others.id])
      expect(await row(first.id)).to.include({ ended_because: "cancelled", ended_by: "alice" })
      expect(await changesOf(second.id)).to.deep.equal(["announced by alice", "cancelled by alice"])
    })

    it("are refused to another user if they overlap, with the maintainer and the times of the existing one", async () => {
      const { startsAt, id } = await announce({ ...at(2), expiresInMs: hourMs, reason: "rebuild" })
      for (const overlapping of [
        { ...at(2.5), expiresInMs: hourMs },
        { ...at(1), expiresInMs: 1.5 * hourMs },
        { ...at(1), plannedForMs: 1.5 * hourMs },
      ]) {
        const refusal = (await errorOf(announce({ ...overlapping, as: "bob" }))) as NotMaintainerError
        expect(refusal).to.be.instanceOf(NotMaintainerError)
        expect(refusal.message).to.equal(
          "The window was not announced, because it would overlap another one: concurrent maintenance by alice (rebuild) is " +
            `announced for ${timeText(startsAt)} until ${timeText(new Date(Number(startsAt) + hourMs))}. ` +
            "Only alice or an emergency user may replace that one. Choose another time.",
        )
      }
      const unbounded = (await errorOf(announce({ ...at(1), as: "bob" }))) as Error
      expect(unbounded.message).to.match(
        / A window without expiresInMs or plannedForMs overlaps every window that begins after it\.$/,
      )
      expect((await announced()).map((window) => window.id)).to.deep.equal([id])
    })

    it("replace only the user's own overlapping windows, or all overlapping ones for an emergency user", async () => {
      const bounded = { expiresInMs: hourMs / 2 }
      const one = await announce({ ...at(1), ...bounded })
      const two = await announce({ ...at(2), ...bounded })
      const own = await announce({ ...at(2.1), ...bounded })
      expect((await announced()).map(({ id }) => id)).to.deep.equal([one.id, own.id])
      expect(await row(two.id)).to.include({ ended_because: "switched", ended_by: "alice", begun_at: null })
      const urgent = await announce({ ...at(1.1), ...bounded, as: "break-glass" })
      expect((await announced()).map(({ id }) => id)).to.deep.equal([urgent.id, own.id])
      expect(await row(one.id)).to.include({ ended_because: "taken over", ended_by: "break-glass" })
    })

    it("are cancelled by an emergency user's leave(): first the user's own, otherwise those of others", async () => {
      const { maintenance } = installed.current
      const bounded = { expiresInMs: hourMs / 2 }
      const others = await announce({ ...at(1), ...bounded })
      await announce({ ...at(2), ...bounded, as: "break-glass" })
      await maintenance.leave({ as: "break-glass" })
      expect((await announced()).map(({ id }) => id)).to.deep.equal([others.id])
      await maintenance.leave({ as: "break-glass" })
      expect(await announced()).to.deep.equal([])
    })

    it("begin one after the other", async () => {
      const { maintenance } = installed.current
      const bounded = { expiresInMs: hourMs / 2 }
      const first = await announce({ ...at(1), ...bounded })
      const second = await announce({ ...at(2), ...bounded })
      const entered = told(maintenance, ({ mode }) => mode !== "normal")
      await database.current.sql(hasCome().replace("position = 'announced'", `id = '${first.id}'`))
      await entered
      await isIn(first.id, "standing")
      const { windows } = await maintenance.status()
      expect(windows.map(({ id, position }) => `${id} ${position}`)).to.deep.equal([
        `${first.id} standing`,
        `${second.id} announced`,
      ])
    })
  })

  describe("cancel()", () => {
    for (const as of ["alice", "break-glass"]) {
      it(`cancels a window for ${as}`, async () => {
        const { id } = await announce()
        const status = await installed.current.maintenance.cancel(id, { as })
        expect(status).to.include({ mode: "normal" }).and.not.to.have.property("announced")
        expect(await row(id)).to.include({
          position: "over",
          ended_because: "cancelled",
          ended_by: as,
          begun_at: null,
        })
      })
    }

    it("cancels one of several windows, even while another user holds a window", async () => {
      const { maintenance } = installed.current
      const one = await announce({ expiresInMs: 1000 })
      const two = await announce({ startsInMs: 2 * hourMs })
      await maintenance.enter("concurrent", { as: "bob" })
      await maintenance.cancel(one.id, { as: "alice" })
      expect((await announced()).map(({ id }) => id)).to.deep.equal([two.id])
    })

    it("is refused to other users, with the maintainer and the start", async () => {
      const { id, startsAt } = await announce({ reason: "rebuild" })
      const refusal = (await errorOf(
        installed.current.maintenance.cancel(id, { as: "bob" }),
      )) as NotMaintainerError
      expect(refusal).to.be.instanceOf(NotMaintainerError)
      expect(refusal.message).to.equal(
        `The window was not cancelled: concurrent maintenance by alice (rebuild) is announced for ${timeText(startsAt)}. ` +
          "Only alice or an emergency user may cancel it.",
      )
      expect(refusal).to.include({ maintainer: "alice", mode: "concurrent" })
      expect(await announced()).to.have.length(1)
    })

    it("fails for a window that has begun or is over, and changes nothing", async () => {
      const { maintenance } = installed.current
      const { id } = await announce()
      const entered = told(maintenance, ({ mode }) => mode !== "normal")
      await database.current.sql(hasCome())
      await entered
      await isIn(id, "standing")
      const cancelled = async () => (await errorOf(maintenance.cancel(id, { as: "alice" }))) as Error
      expect(await cancelled()).to.be.instanceOf(MaintenanceInputError)
      expect((await cancelled()).message).to.match(
        /^There is nothing to cancel: the window began at [-\d]+ [:\d]+ UTC\. Call leave\(\) to end it\.$/,
      )
      expect(await maintenance.status()).to.include({ mode: "concurrent" })
      await maintenance.leave({ as: "alice" })
      expect(await cancelled()).to.be.instanceOf(MaintenanceInputError)
      expect((await cancelled()).message).to.match(
        /^There is nothing to cancel: the window ended at [-\d]+ [:\d]+ UTC \(left by alice\)\.$/,
      )
    })
  })
})

describe("announce() on a server that crashes", () => {
  it("begins its window once the server is back", async () => {
    const server = await startEmbeddedServer()
    try {
      await withMaintenance(server.url, {}, async ({ maintenance }) => {
        const { id } = await maintenance.announce("concurrent", later)
        await server.crash()
        const status = await statusThat(maintenance, () => true)
        expect(status.announced).to.include({ id })
        const entered = told(maintenance, ({ mode }) => mode !== "normal")
        await withClient(server.url, (client) => client.query(hasCome()))
        expect(await entered).to.include({ mode: "concurrent", maintainer: "alice" })
      })
    } finally {
      await server.stop()
    }
  })
})
