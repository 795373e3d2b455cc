import { enterSql } from "../support/enter-sql"
import { expect } from "chai"
import { Client } from "pg"
import {
  AccessRefusedError,
  type Maintenance,
  MaintenanceInputError,
  type MaintenanceStatus,
  NotMaintainerError,
  WriteVetoedError,
} from "../../src"
import { timeText } from "../../src/text"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { TestDatabase, useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { Member } from "../support/members"
import { Proxy } from "../support/proxy"
import { openShop } from "../support/shop"
import { until } from "../support/until"
import { endWindowAfterEach } from "../support/window"

describe("A window that expires", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  let count = 0
  const insert = () => installed.current.dataSource.getRepository(Item).insert({ name: `crate ${++count}` })
  const errorOf = (work: () => Promise<unknown>): Promise<unknown> =>
    work().then(
      () => undefined,
      (error: unknown) => error,
    )
  const normalAgain = (maintenance: Maintenance) =>
    new Promise<MaintenanceStatus>((resolve) => {
      const stop = maintenance.on("change", (status) => {
        if (status.mode !== "normal") return
        stop()
        resolve(status)
      })
    })
  /** Waits by the database's clock. */
  const sleepUntil = (time: Date | undefined, on = database.current) =>
    on.sql("select pg_sleep_until($1::timestamptz + interval '1 millisecond')", [time])

  it("announces its expiry in the status and in refusals, and then ends for all users", async () => {
    const { maintenance } = installed.current
    const over = normalAgain(maintenance)
    const { since, expiresAt, epoch } = await maintenance.enter("concurrent", {
      as: "alice",
      expiresInMs: 1000,
    })
    expect(Number(expiresAt) - Number(since)).to.be.within(1000, 1100)
    const veto = (await errorOf(insert)) as WriteVetoedError
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(veto.detailedMessage).to.include(` (expires at ${timeText(expiresAt as Date)})`)
    expect(Number(veto.expiresAt)).to.equal(Math.floor(Number(expiresAt)))
    expect(veto.retryAfterMs).to.be.within(0, 1000)
    await withMaintenance(database.current.url, {}, async (other) => {
      const overThere = normalAgain(other.maintenance)
      for (const { epoch: told, ...status } of [await over, await overThere]) {
        expect(status).to.deep.equal({ mode: "normal" })
        // The expiry takes effect before the row says so.
        expect(told).to.be.oneOf([epoch, epoch + 1])
      }
    })
    expect(await maintenance.status()).to.include({ mode: "normal", epoch: epoch + 1 })
    await insert()
  })

  it("refuses early in exclusive mode, with the time until its expiry", async () => {
    const { dataSource, maintenance } = installed.current
    const over = normalAgain(maintenance)
    await maintenance.enter("exclusive", { as: "alice", expiresInMs: 1000 })
    const refusal = (await errorOf(() => dataSource.query("select 1"))) as AccessRefusedError
    expect(refusal).to.be.instanceOf(AccessRefusedError)
    expect(refusal.retryAfterMs).to.be.within(0, 1000)
    await over
    expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
  })

  it("ends by the database's clock, even if the application's clock is an hour off", async () => {
    const { maintenance } = installed.current
    const { now } = Date
    Date.now = () => now() + 3_600_000
    try {
      const over = normalAgain(maintenance)
      await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
      expect(await errorOf(insert)).to.be.instanceOf(WriteVetoedError)
      await over
      await insert()
    } finally {
      Date.now = now
    }
  })

  it("ends even if every process is dead, so that new processes may write or enter", async () => {
    const own = await TestDatabase.create()
    try {
      await withMaintenance(own.url, { synchronize: true }, () => Promise.resolve())
      await own.sql(enterSql({ id: "a", mode: "exclusive", acting_user: "alice", expires_in_ms: 1000 }))
      const client = new Client({ connectionString: own.url })
      await client.connect()
      const write = async () => {
        await client.query("begin")
        await client.query("insert into item (name, stock) values ('crate', 1)")
        try {
          await client.query("select maintenance.fence('bob', false)")
        } finally {
          await client.query("commit")
        }
      }
      expect(await errorOf(write)).to.have.property("code", "MM002")
      const [{ expires_at } = { expires_at: undefined }] = await own.sql<{ expires_at: Date }>(
        "select expires_at from maintenance.state",
      )
      await sleepUntil(expires_at, own)
      await write()
      await client.end()
      const [row] = await own.sql<{ mode: string; current_epoch: number }>(
        "select (maintenance.status()).mode, maintenance.enter('concurrent', 'bob', false, null) as current_epoch",
      )
      // The end of the window, and the new one.
      expect(row).to.deep.equal({ mode: "normal", current_epoch: 4 })
    } finally {
      await own.drop()
    }
  })

  it("is reported to every process when it is extended", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", expiresInMs: 60_000 })
    await withMaintenance(database.current.url, {}, async (other) => {
      const told = new Promise<MaintenanceStatus>((resolve) => other.maintenance.on("change", resolve))
      const { expiresAt } = await maintenance.extend({ as: "alice", expiresInMs: 120_000 })
      expect((await told).expiresAt).to.deep.equal(expiresAt)
    })
  })

  it("can be extended, shortened and kept by its maintainer", async () => {
    const { maintenance } = installed.current
    const { expiresAt, epoch } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
    const extended = await maintenance.extend({ as: "alice", expiresInMs: 60_000 })
    expect(extended.epoch).to.equal(epoch)
    expect(Number(extended.expiresAt)).to.be.greaterThan(Number(expiresAt) + 50_000)
    await sleepUntil(expiresAt)
    expect(await errorOf(insert)).to.be.instanceOf(WriteVetoedError)
    expect(await maintenance.extend({ as: "alice" })).not.to.have.property("expiresAt")
    const over = normalAgain(maintenance)
    await maintenance.extend({ as: "break-glass", expiresInMs: 1000 })
    await over
    await insert()
  })

  it("keeps its expiry when the maintainer switches the mode, unless a new one is given", async () => {
    const { maintenance } = installed.current
    const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 60_000 })
    expect((await maintenance.enter("exclusive", { as: "alice" })).expiresAt).to.deep.equal(expiresAt)
    const later = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 120_000 })
    expect(Number(later.expiresAt)).to.be.greaterThan(Number(expiresAt) + 50_000)
    const taken = await maintenance.enter("concurrent", { as: "break-glass" })
    expect(taken).not.to.have.property("expiresAt")
  })

  it("cannot be extended by other users, nor once it is over", async () => {
    const { maintenance } = installed.current
    const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
    const stranger = await errorOf(() => maintenance.extend({ as: "bob", expiresInMs: 60_000 }))
    expect(stranger).to.be.instanceOf(NotMaintainerError)
    await sleepUntil(expiresAt)
    const late = await errorOf(() => maintenance.extend({ as: "alice", expiresInMs: 60_000 }))
    expect(late).to.be.instanceOf(MaintenanceInputError)
  })

  it("admits no write at its end while it is being extended", async () => {
    const own = await TestDatabase.create()
    const client = new Client({ connectionString: own.url })
    try {
      await withMaintenance(own.url, { synchronize: true }, async ({ dataSource, maintenance }) => {
        const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
        await client.connect()
        await client.query("begin")
        await client.query("select maintenance.extend('alice', false, 60000)")
        await sleepUntil(expiresAt, own)
        const write = () => dataSource.getRepository(Item).insert({ name: "crate" })
        const writing = errorOf(write)
        await own.sql(`do $$ begin
          while not exists (select from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and not granted) loop
            perform pg_sleep(0.005); perform pg_stat_clear_snapshot();
          end loop; end $$`)
        await client.query("commit")
        expect(await writing).to.be.instanceOf(WriteVetoedError)
        const inSnapshot = () =>
          dataSource.transaction("REPEATABLE READ", (m) => m.insert(Item, { name: "crate" }))
        expect(await errorOf(inSnapshot)).to.be.instanceOf(WriteVetoedError)
        expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
        expect(await own.sql("select from item")).to.have.length(0)
      })
    } finally {
      await client.end()
      await own.drop()
    }
  })

  it("is restored with its own expiry after an inner window", async () => {
    const { maintenance } = installed.current
    const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 60_000 })
    await maintenance.during("exclusive", { as: "alice", expiresInMs: 120_000 }, () => undefined)
    expect(await maintenance.status()).to.deep.include({ mode: "concurrent", expiresAt })
  })
})

describe("A window that is tied to a process", () => {
  it("survives an outage of half its grace time", async () => {
    const proxy = await Proxy.start(database.current.url)
    await withMaintenance(proxy.url, {}, async ({ maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice", heldWhile: "alive", graceMs: 5000 })
      const end = async () => {
        const [row] = await database.current.sql<{ expires_at: Date }>(
          "select expires_at from maintenance.state",
        )
        return (row as { expires_at: Date }).expires_at
      }
      proxy.refuse(true)
      await proxy.cutAll()
      const before = await end()
      await database.current.sql("select pg_sleep_until($1::timestamptz - interval '2.5 seconds')", [before])
      proxy.refuse(false)
      await sleepUntil(before)
      expect(await maintenance.status()).to.include({ mode: "concurrent" })
      await maintenance.leave({ as: "alice" })
    })
    await proxy.stop()
  })

  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  const tied = { as: "alice", heldWhile: "alive", graceMs: 1000 } as const
  let count = 0
  const write = () =>
    installed.current.dataSource
      .getRepository(Item)
      .insert({ name: `parcel ${++count}` })
      .then(
        () => "done",
        (error: Error) => error.constructor.name,
      )
  const modeIs = async (mode: string) => {
    const { maintenance } = installed.current
    await until(async () => (await maintenance.status()).mode === mode)
  }
  /** The time at which it ends unless its lease is renewed. */
  const expiry = async () => {
    const sql = "select expires_at from maintenance.state"
    return (await database.current.sql<{ expires_at: Date }>(sql))[0]?.expires_at
  }
  const sleepUntil = (time: Date | undefined) =>
    database.current.sql("select pg_sleep_until($1::timestamptz + interval '1 millisecond')", [time])

  it("stands as long as the process lives, up to its own expiry, if any", async () => {
    const { maintenance } = installed.current
    const { epoch } = await maintenance.enter("concurrent", { ...tied, expiresInMs: 3000 })
    const first = (await expiry()) as Date
    let last = first
    // Through at least two renewals.
    for (let renewal = 0; renewal < 2; renewal++) {
      await sleepUntil(last)
      expect(await write()).to.equal("WriteVetoedError")
      last = (await expiry()) as Date
    }
    expect((await maintenance.status()).epoch).to.equal(epoch)
    await modeIs("normal")
    const [{ now } = { now: new Date(0) }] = await database.current.sql<{ now: Date }>("select now()")
    expect(now.getTime() - first.getTime()).to.be.at.least(2000 - 1)
    expect(await write()).to.equal("done")
  })

  for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
    it(`ends when its lease is no longer renewed (${signal})`, async () => {
      const member = await Member.start(database.current.url)
      expect(await member.enter("concurrent", tied)).to.equal("done")
      member.signal(signal)
      expect(await write()).to.equal("WriteVetoedError")
      await modeIs("normal")
      expect(await write()).to.equal("done")
      if (signal === "SIGKILL") return
      member.signal("SIGCONT")
      expect(await member.run("insert into audit (note) values ('late')", "alice")).to.equal("done")
      await installed.current.maintenance.enter("concurrent", { as: "bob" })
      expect(await member.run("insert into audit (note) values ('late')", "alice")).to.equal(
        "WriteVetoedError",
      )
      await member.stop()
    })
  }

  it("stands as long as the process lives, under an inner window", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", tied)
    const first = await expiry()
    await maintenance.during("exclusive", { as: "alice" }, () => sleepUntil(first))
    expect(await write()).to.equal("WriteVetoedError")
    await sleepUntil(await expiry())
    expect(await write()).to.equal("WriteVetoedError")
  })

  it('remains after the loss of its process if then is "stay"', async () => {
    const { maintenance } = installed.current
    const member = await Member.start(database.current.url)
    expect(await member.enter("concurrent", { ...tied, then: "stay" })).to.equal("done")
    expect(await maintenance.status()).not.to.have.property("expiresAt")
    member.signal("SIGKILL")
    await until(async () => (await maintenance.status()).instances.length <= 1)
    expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
  })

  it("is no longer tied once it is extended or handed over", async () => {
    const { maintenance } = installed.current
    const member = await Member.start(database.current.url)
    expect(await member.enter("concurrent", tied)).to.equal("done")
    expect(await maintenance.extend({ as: "alice" })).not.to.have.property("expiresAt")
    expect(await member.enter("concurrent", tied)).to.equal("done")
    expect(await maintenance.transfer({ as: "alice", to: "bob" })).not.to.have.property("expiresAt")
    member.signal("SIGKILL")
    expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "bob" })
  })
})

describe("A window that is handed over to another maintainer", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  it("belongs to the new maintainer", async () => {
    const { dataSource, maintenance } = installed.current
    const insert = () => dataSource.getRepository(Item).insert({ name: "crate" })
    const before = await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    const stranger = await maintenance.transfer({ as: "bob", to: "bob" }).catch((error: unknown) => error)
    expect(stranger).to.be.instanceOf(NotMaintainerError)
    const { since, reason, epoch } = before
    const status = await maintenance.transfer({ as: "alice", to: "bob" })
    const { windowId, ...window } = status
    expect(window).to.deep.equal({ mode: "concurrent", maintainer: "bob", reason, since, epoch: epoch + 1 })
    expect(windowId).to.be.a("string").and.not.equal(before.windowId)
    const veto = await maintenance.runAs("alice", insert).catch((error: unknown) => error)
    expect(veto).to.be.instanceOf(WriteVetoedError)
    await maintenance.runAs("bob", insert)
    const former = await maintenance.leave({ as: "alice" }).catch((error: unknown) => error)
    expect(former).to.be.instanceOf(NotMaintainerError)
    await maintenance.leave({ as: "bob" })
  })

  it("waits for a commit of the former maintainer that has passed its fence", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const runner = dataSource.createQueryRunner()
    // As at the end of a transaction with a slow COMMIT.
    await maintenance.runAs("alice", async () => {
      await runner.query("begin")
      await runner.query("insert into audit (note) values ('last')")
      await runner.query("select maintenance.fence('alice', false)")
    })
    let isHandedOver = false
    const told = new Promise((resolve) => maintenance.on("draining", resolve))
    const transferred = maintenance.transfer({ as: "alice", to: "bob" }).then(() => (isHandedOver = true))
    await told
    expect(isHandedOver).to.equal(false)
    await maintenance.runAs("break-glass", () => runner.query("rollback"))
    await runner.release()
    await transferred
    await maintenance.leave({ as: "bob" })
  })
})
