import { expect } from "chai"
import { AsyncResource } from "node:async_hooks"
import { type MaintenanceStatus, WindowEndedError } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { type TestDatabase, useDatabase, useFreshDatabase, withClient } from "../support/database"
import { Item } from "../support/entities"
import { enterSql } from "../support/enter-sql"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { until } from "../support/until"
import { endWindowAfterEach } from "../support/window"

/** A window that is tied to this process, with a short grace time. */
const tied = { as: "alice", heldWhile: "alive", graceMs: 1000 } as const

const alice = { acting_user: "alice" }
const emergency = { acting_user: "break-glass", is_emergency: true }

describe("A window that is restored after another", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  const status = () => installed.current.maintenance.status()
  const sleepUntil = (time: Date | undefined, andMs = 1) =>
    database.current.sql("select pg_sleep_until($1::timestamptz + $2 * interval '1 millisecond')", [
      time,
      andMs,
    ])
  const isVetoed = async () =>
    errorOf(installed.current.dataSource.getRepository(Item).insert({ name: "crate" })).then(
      (error) => error !== undefined,
    )
  /** The time at which it ends unless its lease is renewed. */
  const lastEnd = async () => {
    const sql = "select expires_at from maintenance.state"
    return (await database.current.sql<{ expires_at: Date }>(sql))[0]?.expires_at
  }
  /** Checks that its lease is renewed from now on. */
  const stands = async () => {
    await sleepUntil(await lastEnd())
    expect(await isVetoed()).to.equal(true)
  }
  const terms = ({ mode, maintainer, expiresAt }: MaintenanceStatus) => ({ mode, maintainer, expiresAt })

  for (const [name, inner] of [
    ["a window with its own expiry", { as: "alice", expiresInMs: 60_000 }],
    ["a window with its own lease", { as: "alice", heldWhile: "alive", graceMs: 5000 }],
    ["a window of an emergency user", { as: "break-glass" }],
  ] as const) {
    it(`stands as long as its process lives, after ${name}`, async () => {
      const { maintenance } = installed.current
      expect(await maintenance.enter("concurrent", tied))
        .to.include({ graceMs: 1000 })
        .and.not.to.have.property("expiresAt")
      const first = await lastEnd()
      await maintenance.during("exclusive", inner, () => sleepUntil(first, 100))
      expect(await status()).to.include({ mode: "concurrent", maintainer: "alice" })
      await stands()
    })
  }

  it("stands as long as its process lives, after an abandoned window", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", tied)
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select 1")
      const options = { ...tied, drain: { withinMs: 100 } }
      expect(await errorOf(maintenance.enter("exclusive", options))).to.have.property(
        "code",
        "MAINTENANCE_DRAIN_TIMEOUT",
      )
    })
    await stands()
  })

  it("keeps an extension that was made within a window without an expiry", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", expiresInMs: 60_000 })
    let extended: Date | undefined
    await maintenance.during("exclusive", { as: "alice" }, async () => {
      extended = (await maintenance.extend({ expiresInMs: 3_600_000 })).expiresAt
    })
    expect(terms(await status())).to.deep.equal({
      mode: "concurrent",
      maintainer: "alice",
      expiresAt: extended,
    })
  })

  it("keeps its own expiry, regardless of that of the other window", async () => {
    const { maintenance } = installed.current
    const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 60_000 })
    await maintenance.during("exclusive", { as: "alice", expiresInMs: 5000 }, async () => {
      await maintenance.extend({ expiresInMs: 3_600_000 })
    })
    expect(terms(await status())).to.deep.equal({ mode: "concurrent", maintainer: "alice", expiresAt })
  })

  it("is over if it has expired meanwhile", async () => {
    const { maintenance } = installed.current
    const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
    await maintenance.during("exclusive", { as: "break-glass" }, () => sleepUntil(expiresAt))
    expect(await status()).to.include({ mode: "normal" })
    expect(await isVetoed()).to.equal(false)
  })

  it("is not restored if its task has ended meanwhile; the window beneath it is restored", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", reason: "shelf" })
    let end: () => void = () => undefined
    const working = new Promise<void>((resolve) => (end = resolve))
    let isEntered: () => void = () => undefined
    const entered = new Promise<void>((resolve) => (isEntered = resolve))
    const task = errorOf(
      maintenance.during("exclusive", { as: "alice", reason: "task" }, () => {
        isEntered()
        return working
      }),
    )
    await entered
    await maintenance.during("exclusive", { as: "break-glass" }, async () => {
      end()
      expect(await task)
        .to.be.instanceOf(WindowEndedError)
        .and.include({ endedBecause: "taken over", endedBy: "break-glass" })
    })
    expect(await status()).to.include({ mode: "concurrent", maintainer: "alice", reason: "shelf" })
    await maintenance.during("concurrent", { as: "alice" }, () => undefined)
  })

  it("is lost to its task once it was handed over, and stays with the new maintainer", async () => {
    const { maintenance } = installed.current
    const error = await errorOf(
      maintenance.during("concurrent", { as: "alice" }, async () => {
        await maintenance.transfer({ to: "bob" })
        await maintenance.during("exclusive", { as: "bob" }, () => undefined)
      }),
    )
    expect(error).to.be.instanceOf(WindowEndedError)
    expect(error).to.include({ mode: "concurrent", maintainer: "bob" })
    expect(await status()).to.include({ mode: "concurrent", maintainer: "bob" })
  })

  it("is not restored after leave() within another window", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const error = await errorOf(
      maintenance.during("exclusive", { as: "alice" }, async () => {
        await maintenance.leave()
        await maintenance.enter("concurrent")
      }),
    )
    expect(error).to.equal(undefined)
    expect(await status()).to.include({ mode: "normal" })
  })

  it("belongs to no task if it is entered by code that outlasted its task", async () => {
    const { maintenance } = installed.current
    let enterLater: () => Promise<unknown> = () => Promise.resolve()
    await maintenance.during("concurrent", { as: "alice" }, () => {
      enterLater = AsyncResource.bind(() => maintenance.enter("concurrent"))
    })
    await enterLater()
    await maintenance.during("exclusive", { as: "alice" }, () => undefined)
    expect(await status()).to.include({ mode: "concurrent", maintainer: "alice" })
  })

  it("is restored when the window above it expires, even if the process of that window is dead", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    // As if its process had died.
    await database.current.sql(
      enterSql({ ...emergency, id: "a", mode: "exclusive", task: "t", expires_in_ms: 1000 }),
    )
    const { expiresAt } = await status()
    await sleepUntil(expiresAt)
    expect(await isVetoed()).to.equal(true)
    expect(await status()).to.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
    expect(await status()).not.to.have.property("expiresAt")
  })

  it("is restored when the maintainer's work outlasts the window above it", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", tied)
    const error = await errorOf(
      maintenance.during("exclusive", { as: "alice", expiresInMs: 1000 }, async () => {
        await sleepUntil((await status()).expiresAt)
        expect(await status()).to.include({ mode: "concurrent" })
      }),
    )
    expect(error).to.be.instanceOf(WindowEndedError)
    await stands()
  })

  it("is restored after a window that a task entered once its own window had expired", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", reason: "outer" })
    await maintenance.during("exclusive", { as: "alice", expiresInMs: 1000 }, async () => {
      await sleepUntil((await status()).expiresAt)
      expect(await maintenance.enter("exclusive")).to.include({ mode: "exclusive" })
    })
    expect(await status()).to.include({ mode: "concurrent", maintainer: "alice", reason: "outer" })
    expect(await isVetoed()).to.equal(true)
  })

  it("is restored with its own expiry if a task in between ends beneath another window", async () => {
    const { maintenance } = installed.current
    for (const inner of [{}, { expiresInMs: 2000 }]) {
      const { expiresAt } = await maintenance.enter("concurrent", { as: "alice", expiresInMs: 60_000 })
      let end: () => void = () => undefined
      const working = new Promise<void>((resolve) => (end = resolve))
      let isEntered: () => void = () => undefined
      const entered = new Promise<void>((resolve) => (isEntered = resolve))
      const task = errorOf(
        maintenance.during("exclusive", { as: "alice" }, () => {
          isEntered()
          return working
        }),
      )
      await entered
      await maintenance.during("exclusive", { as: "break-glass", ...inner }, async () => {
        end()
        await task
      })
      expect(terms(await status())).to.deep.equal({ mode: "concurrent", maintainer: "alice", expiresAt })
      await maintenance.leave({ as: "alice" })
    }
  })

  it("is restored with its own expiry after two windows that failed to be entered", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select 1")
      const first = errorOf(maintenance.enter("exclusive", { as: "alice" }))
      await until(async () => (await maintenance.status()).state === "entering")
      const options = { as: "alice", expiresInMs: 2000, drain: { withinMs: 0 } }
      expect(await errorOf(maintenance.enter("exclusive", options))).to.have.property(
        "code",
        "MAINTENANCE_DRAIN_TIMEOUT",
      )
      expect(await first).to.be.instanceOf(WindowEndedError)
    })
    expect(terms(await status())).to.deep.equal({
      mode: "concurrent",
      maintainer: "alice",
      expiresAt: undefined,
    })
  })

  it("is restored with its own expiry, even if an inner task entered a mode with an expiry or a lease", async () => {
    const { maintenance } = installed.current
    const inner = [{ expiresInMs: 60_000 }, { heldWhile: "alive" }] as const
    for (const options of inner) {
      const { expiresAt, ...before } = await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.during("concurrent", { as: "alice" }, async () => {
        const now = await maintenance.enter("exclusive", { as: "alice", ...options })
        expect(now).to.have.property("graceMs" in now ? "graceMs" : "expiresAt")
        await maintenance.during("concurrent", { as: "alice" }, () => undefined)
        expect(await lastEnd()).to.be.instanceOf(Date)
      })
      expect(expiresAt).to.equal(undefined)
      expect(await status())
        .to.include({ mode: before.mode, maintainer: before.maintainer })
        .and.not.to.have.any.keys("expiresAt", "graceMs")
      await maintenance.leave({ as: "alice" })
    }
  })

  it("is restored after a task that entered a mode beside its own inner task", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", reason: "outer" })
    await maintenance.during("concurrent", { as: "alice", reason: "task" }, async () => {
      let end: () => void = () => undefined
      const ended = new Promise<void>((resolve) => (end = resolve))
      await new Promise<void>((entered, failed) => {
        const inner = { as: "alice", reason: "inner", expiresInMs: 60_000 }
        const lost = maintenance.during("concurrent", inner, async () => {
          entered()
          await ended
        })
        errorOf(lost).then((error) => {
          if (!(error instanceof WindowEndedError)) failed(new Error(`It was not lost: ${String(error)}`))
        }, failed)
      })
      const now = await maintenance.enter("exclusive", { as: "alice" })
      // The same as the window of the task, except for the mode.
      expect(now).to.include({ mode: "exclusive", reason: "task" }).and.not.to.have.property("expiresAt")
      end()
    })
    expect(await status()).to.include({ mode: "concurrent", reason: "outer" })
    expect(await isVetoed()).to.equal(true)
  })

  describe("with an expired window above it whose row does not say so yet", () => {
    let own: TestDatabase
    useFreshDatabase((created) => (own = created))
    // The schema alone, so that no instance updates the row.
    beforeEach(() => withMaintenance(own.url, {}, () => Promise.resolve()))

    const start = (id: string, who: typeof alice | typeof emergency, task?: string, expiresInMs?: number) =>
      own.sql(enterSql({ ...who, id, mode: "exclusive", reason: id, task, expires_in_ms: expiresInMs }))
    const expire = () => own.sql("select pg_sleep_until(expires_at) from maintenance.state")
    const window = async () => {
      const [row] = await own.sql(
        "select s.maintainer, s.reason, expires_at is not null as ends from maintenance.status() s",
      )
      return row
    }

    it("is extended, left and handed over instead of the expired one", async () => {
      for (const [change, after] of [
        ["extend('alice', false, 60000)", { maintainer: "alice", reason: "outer", ends: true }],
        ["transfer('alice', false, 'bob')", { maintainer: "bob", reason: "outer", ends: false }],
        ["leave('alice', false)", { maintainer: null, reason: null, ends: false }],
      ] as const) {
        await start("outer", alice)
        await start("inner", emergency, "task", 1000)
        await expire()
        await own.sql(`select maintenance.${change}`)
        expect(await window()).to.deep.equal(after)
        const [row] = await own.sql("select maintenance.finish('task') as epoch")
        expect(row).to.deep.equal({ epoch: null })
        expect(await window()).to.deep.equal(after)
        if (after.maintainer) await own.sql(`select maintenance.leave('${after.maintainer}', false)`)
        await own.sql("delete from maintenance.change; delete from maintenance.window")
      }
    })

    it("makes the fence fail in a snapshot that predates a change beneath it", async () => {
      await own.sql("create table loot (name text)")
      await start("outer", alice, "outer task")
      await start("inner", emergency, "task", 1000)
      await withClient(own.url, async (client) => {
        await client.query("begin isolation level repeatable read; select 1")
        await own.sql("select maintenance.finish('outer task')")
        await expire()
        await client.query("insert into loot values ('gold')")
        const error = await errorOf(client.query("select maintenance.fence('alice', false)"))
        expect(error).to.have.property("code", "40001")
        await client.query("rollback")
      })
    })

    for (const isolation of ["repeatable read", "serializable"])
      it(`is not taken for expired by a snapshot that predates renewals of its lease: ${isolation}`, async () => {
        await own.sql("create table loot (name text)")
        const outer = { ...alice, id: "outer", mode: "exclusive", lease: "process", grace_ms: 1000 } as const
        await own.sql(enterSql(outer))
        await own.sql("select maintenance.interrupt_entering('outer')")
        await start("inner", alice, "task", 2000)
        await withClient(own.url, async (client) => {
          await client.query(`begin isolation level ${isolation}; select 1`)
          for (let renewals = 0; renewals < 5; renewals++) {
            await own.sql("select pg_sleep(0.3)")
            await own.sql("select maintenance.renew('process')")
          }
          // In this snapshot, the end of the outer window is past.
          await own.sql("select pg_sleep_until(expires_at) from maintenance.state")
          await own.sql("select maintenance.renew('process')")
          await client.query("insert into loot values ('gold')")
          const error = await errorOf(client.query("select maintenance.fence('bob', false)"))
          expect((error as { code: string }).code).to.be.oneOf(["40001", "MM002"])
          await client.query("rollback")
        })
      })

    it("is interrupted if it was before", async () => {
      await start("outer", alice)
      await own.sql("select maintenance.interrupt_entering('outer')")
      await start("inner", emergency, "task", 1000)
      await expire()
      await own.sql("select maintenance.mend()")
      expect(await window()).to.deep.equal({ maintainer: "alice", reason: "outer", ends: false })
      expect(await own.sql("select is_interrupted from maintenance.windows()")).to.deep.equal([
        { is_interrupted: true },
      ])
    })

    it("is not made for a task that ended before it began, for example because the call was abandoned", async () => {
      await own.sql("select maintenance.finish('task')")
      expect(await errorOf(start("late", alice, "task"))).to.have.property("code", "MM006")
      await own.sql("select maintenance.void('{late, leaving}')")
      await start("late", alice)
      expect(await window()).to.include({ maintainer: null })
      await start("window", alice)
      await own.sql("select maintenance.leave('alice', false, 'leaving')")
      expect(await window()).to.include({ maintainer: "alice" })
    })

    it("is neither extended nor entered for less than a second", async () => {
      await start("outer", alice)
      for (const call of ["extend('alice', false, -5)", "extend('alice', false, 999)"])
        expect(await errorOf(own.sql(`select maintenance.${call}`))).to.have.property("code", "22023")
      expect(await errorOf(start("again", alice, undefined, 0))).to.have.property("code", "22023")
      expect(await window()).to.deep.equal({ maintainer: "alice", reason: "outer", ends: false })
    })
  })

  it("belongs to no task if a lost task, or a task of another schema, entered it", async () => {
    const { maintenance } = installed.current
    let enterLater: () => Promise<unknown> = () => Promise.resolve()
    await errorOf(
      maintenance.during("concurrent", { as: "alice" }, async () => {
        enterLater = AsyncResource.bind(() => maintenance.enter("concurrent"))
        await maintenance.leave({ as: "break-glass" })
      }),
    )
    await enterLater()
    await maintenance.during("exclusive", { as: "alice" }, () => undefined)
    const plugin = { schema: "elsewhere" }
    await withMaintenance(database.current.url, { plugin }, async (other) => {
      await maintenance.during("concurrent", { as: "alice" }, () => other.maintenance.enter("concurrent"))
      await other.maintenance.during("exclusive", { as: "alice" }, () => undefined)
      await other.maintenance.leave({ as: "alice" })
    })
  })
})
