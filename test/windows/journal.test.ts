import { expect } from "chai"
import { type Maintenance, MaintenanceInputError, maintenanceSchemaSql, type PastWindow } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { startEmbeddedServer } from "../support/embedded-server"
import { enterSql } from "../support/enter-sql"
import { Item, Review } from "../support/entities"
import { errorOf } from "../support/error-of"
import { withTimersOf } from "../support/long-timers"
import { openShop } from "../support/shop"
import { until } from "../support/until"
import { endWindowAfterEach, notWaiting } from "../support/window"

describe("The journal", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  beforeEach(() => database.current.sql("delete from maintenance.window"))
  endWindowAfterEach(installed)

  const journal = () => installed.current.maintenance.journal()
  const enter = (maintenance: Maintenance, reason: string) =>
    maintenance.enter("concurrent", { as: "alice", reason })

  it("describes each past window completely, the latest first", async () => {
    const { maintenance } = installed.current
    const { windowId: id, since } = await maintenance.enter("exclusive", {
      as: "alice",
      reason: "rebuild",
      message: "Back soon.",
    })
    const {
      windows: [stood],
    } = await maintenance.status()
    await maintenance.leave({ as: "break-glass" })
    await enter(maintenance, "second")
    expect((await journal()).map((window) => window.reason)).to.deep.equal(["rebuild"])
    await maintenance.leave({ as: "alice" })
    const [second, first] = (await journal()) as [PastWindow, PastWindow]
    expect(second).to.include({ reason: "second", mode: "concurrent", endedBy: "alice" })
    expect(first).to.deep.equal({
      id,
      mode: "exclusive",
      maintainer: "alice",
      reason: "rebuild",
      message: "Back soon.",
      since,
      begunAt: stood?.position === "standing" && stood.begunAt,
      enteredAt: stood?.position === "standing" && stood.enteredAt,
      endedAt: first.endedAt,
      endedBecause: "left",
      endedBy: "break-glass",
      drainMs: first.drainMs,
      refusals: [],
    })
    expect(first.endedAt).to.be.within(first.enteredAt as Date, second.begunAt as Date)
    // With microsecond precision.
    expect(first.drainMs).to.be.closeTo(Number(first.enteredAt) - Number(first.begunAt), 1)
  })

  it("counts the refusals of a window by minute, while it stands and afterwards", async () => {
    const { dataSource, maintenance } = installed.current
    const started = Date.now()
    const { windowId } = await enter(maintenance, "prices")
    for (let time = 0; time < 3; time++) await errorOf(dataSource.getRepository(Item).insert({ name: "no" }))
    await errorOf(dataSource.query("create table refused_too ()"))
    const summed = async () => {
      const sums: Record<string, number> = {}
      for (const {
        minute,
        entity = "-",
        operation = "-",
        count,
        windowId: id,
      } of await maintenance.refusals()) {
        if (id !== windowId) continue
        expect(minute.getTime() % 60_000).to.equal(0)
        expect(minute.getTime()).to.be.within(started - 60_000, Date.now())
        sums[`${entity} ${operation}`] = (sums[`${entity} ${operation}`] ?? 0) + count
      }
      return sums
    }
    expect(await summed()).to.deep.equal({ "Item insert": 3, "- -": 1 })
    await maintenance.leave({ as: "alice" })
    expect(await summed()).to.deep.equal({ "Item insert": 3, "- -": 1 })
    expect(await maintenance.refusals({ since: new Date(Date.now() + 60_000) })).to.deep.equal([])
    const tooLong = errorOf(maintenance.refusals({ since: new Date(Date.now() - 8 * 86_400_000) }))
    expect(await tooLong).to.be.instanceOf(MaintenanceInputError)
  })

  type Ending = (maintenance: Maintenance) => Promise<unknown>
  const ways: [PastWindow["endedBecause"], string | undefined, Ending][] = [
    ["left", "alice", (m) => m.during("concurrent", { as: "alice" }, () => undefined)],
    [
      "switched",
      "alice",
      async (m) => {
        await enter(m, "first")
        await m.enter("exclusive", { as: "alice", drain: notWaiting })
      },
    ],
    [
      "taken over",
      "break-glass",
      async (m) => {
        await enter(m, "first")
        await m.enter("exclusive", { as: "break-glass", drain: notWaiting })
      },
    ],
    [
      "handed over",
      "alice",
      async (m) => {
        await enter(m, "first")
        await m.transfer({ as: "alice", to: "bob" })
      },
    ],
    [
      "abandoned",
      "alice",
      (m) =>
        withClient(database.current.url, async (client) => {
          await client.query("begin; select 1")
          await errorOf(m.enter("exclusive", { as: "alice", drain: { withinMs: 0, then: "abandon" } }))
          await client.query("rollback")
        }),
    ],
  ]
  for (const [how, who, end] of ways) {
    it(`records that a window was ${how}, and by whom`, async () => {
      await end(installed.current.maintenance)
      const [window, ...others] = await journal()
      expect(others).to.deep.equal([])
      expect(window).to.include({ endedBecause: how, endedBy: who, maintainer: "alice" })
      expect(window?.drainMs === undefined).to.equal(how === "abandoned")
    })
  }

  it("records no drain for a window that was handed over to its maintainer", async () => {
    const { maintenance } = installed.current
    await enter(maintenance, "first")
    await maintenance.transfer({ as: "alice", to: "bob" })
    await maintenance.leave({ as: "bob" })
    const [window] = await journal()
    expect(window).to.include({ maintainer: "bob", endedBecause: "left" }).and.not.to.have.property("drainMs")
    expect(window?.enteredAt).to.be.instanceOf(Date)
  })

  for (const [how, lease] of [
    ["expired", null],
    ["lost", "a process"],
  ] as const) {
    it(`includes a window that was ${how}, even before its row says so`, async () => {
      await withClient(database.current.url, async (client) => {
        // Nobody is notified: the row is inserted and changed in one transaction.
        await client.query("begin")
        await client.query(enterSql({ id: how, mode: "concurrent", acting_user: "alice" }))
        await client.query(
          `update maintenance.window set expires_at = clock_timestamp(), lease = $1, grace_ms = 1000 * length($1) / length($1)
           where id = '${how}'`,
          [lease],
        )
        const read = "select id, ended_because, ended_by, ended_at from maintenance.journal()"
        const [before] = (await client.query(read)).rows
        expect(before).to.include({ ended_because: how, ended_by: null })
        const rows = "select position from maintenance.window"
        expect((await client.query(rows)).rows).to.deep.equal([{ position: "entering" }])
        await client.query("update maintenance.state set expires_at = clock_timestamp()")
        await client.query("select maintenance.mend()")
        expect((await client.query(rows)).rows).to.deep.equal([{ position: "over" }])
        expect((await client.query(read)).rows).to.deep.equal([before])
        await client.query("rollback")
      })
    })
  }

  it("returns as many windows as requested, since the requested time", async () => {
    const { maintenance } = installed.current
    for (const reason of ["first", "second", "third"]) {
      await enter(maintenance, reason)
      await maintenance.leave({ as: "alice" })
    }
    const reasons = async (options: object) =>
      (await maintenance.journal(options)).map(({ reason }) => reason)
    expect(await reasons({ limit: 2 })).to.deep.equal(["third", "second"])
    const [, second] = (await journal()) as [unknown, PastWindow]
    expect(await reasons({ since: second.endedAt })).to.deep.equal(["third", "second"])
    expect(await reasons({ since: new Date(Number(second.endedAt) + 3_600_000) })).to.deep.equal([])
    for (const since of [new Date(-8.64e15), undefined]) expect(await reasons({ since })).to.have.lengthOf(3)
    expect(await reasons({ since: new Date(8.64e15), limit: 1000 })).to.deep.equal([])
  })

  it("is read page by page, each window once, also those that ended at the same time", async () => {
    const { maintenance } = installed.current
    await database.current.sql(`
      insert into maintenance.window (id, position, mode, maintainer, since, begun_at, terms, ended_at, ended_because)
      select 'page ' || n, 'over', 'concurrent', 'carol', now(), now(), 'page', now() - n / 4 * interval '1 minute', 'left'
      from generate_series(1, 23) n`)
    const all = await journal()
    expect(all).to.have.lengthOf(23)
    const read: PastWindow[] = []
    for (;;) {
      const page = await maintenance.journal({ limit: 5, before: read.at(-1)?.id })
      read.push(...page)
      if (page.length < 5) break
    }
    expect(read).to.deep.equal(all)
    expect(await maintenance.journal({ before: "pruned" })).to.deep.equal([])
  })

  it("is read on from a window that has expired and is not yet recorded as over", async () => {
    const { maintenance } = installed.current
    await enter(maintenance, "first")
    await maintenance.leave({ as: "alice" })
    const [first] = (await journal()) as [PastWindow]
    await enter(maintenance, "second")
    // The processes that would record the expiry are not told of it.
    await database.current.sql(
      "update maintenance.window set expires_at = clock_timestamp() where position <> 'over'",
    )
    const [second] = (await journal()) as [PastWindow]
    expect(second).to.include({ reason: "second", endedBecause: "expired" })
    expect(await maintenance.journal({ before: second.id })).to.deep.equal([first])
    expect(await maintenance.journal({ before: first.id })).to.deep.equal([])
  })

  for (const [name, options, says] of [
    ["a limit of 0", { limit: 0 }, "limit must be a whole number from 1 to 1000, not 0"],
    ["a limit of 1001", { limit: 1001 }, "not 1001"],
    ["half a limit", { limit: 1.5 }, "not 1.5"],
    ["a limit that is a string", { limit: "10" }, "not '10'"],
    ["an endless limit", { limit: Number.POSITIVE_INFINITY }, "not Infinity"],
    ["no limit", { limit: null }, "not null"],
    ["an invalid date", { since: new Date("never") }, "since must be a valid Date, not Invalid Date"],
    ["a string for a date", { since: "2026-01-31" }, "not '2026-01-31'"],
    ["a number for an id", { before: 7 }, "before must be a string of 1 to 200 characters"],
    [
      "an unknown option",
      { until: new Date() },
      'Unknown option "until". Known options are since, limit, before',
    ],
    ["no options", null, "must be an object of since, limit, before"],
  ] as const) {
    it(`throws a MaintenanceInputError for ${name}`, async () => {
      const error = await errorOf(installed.current.maintenance.journal(options as never))
      expect(error).to.be.instanceOf(MaintenanceInputError)
      expect((error as Error).message).to.include(says)
    })
  }

  const refuseAll = async () => {
    const { dataSource } = installed.current
    const items = dataSource.getRepository(Item)
    const both = () =>
      dataSource.transaction(async (manager) => {
        await manager.insert(Item, { name: "crate" })
        await manager.insert(Item, { name: "box" })
        await manager.insert(Review, { text: "fine" })
      })
    for (const write of [
      () => items.insert({ name: "chest" }),
      () => items.update({ name: "anvil" }, { stock: 1 }),
      () => both(),
      () => dataSource.query("insert into audit (note) values ('raw')"),
    ])
      expect(await errorOf(write()))
        .to.have.property("windowId")
        .that.is.a("string")
  }

  it("sums up the refusals of a window by entity and operation, across all instances", async () => {
    const { maintenance } = installed.current
    await enter(maintenance, "first")
    await refuseAll()
    await withMaintenance(database.current.url, {}, async (other) => {
      const error = await errorOf(other.dataSource.getRepository(Item).insert({ name: "barrel" }))
      expect(error).to.be.instanceOf(Error)
    })
    await maintenance.leave({ as: "alice" })
    await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
    await errorOf(installed.current.dataSource.getRepository(Item).find())
    await maintenance.leave({ as: "alice" })
    const [second, first] = await journal()
    expect(second?.refusals).to.deep.equal([{ count: 1 }])
    expect(first?.refusals).to.deep.equal([
      { entity: "Item", operation: "insert", count: 3 },
      { count: 1 },
      { entity: "Item", operation: "update", count: 1 },
      { entity: "Review", operation: "insert", count: 1 },
    ])
    const counted = `select sum(count)::int as count, count(*)::int as rows, count(distinct instance)::int as instances
      from maintenance.refusal where window_id = $1 and entity = 'Item' and operation = 'insert'`
    const [sums] = await database.current.sql<{ rows: number }>(counted, [first?.id])
    expect(sums).to.include({ count: 3, instances: 2 })
    // One row per instance rather than per refusal, unless a minute has just passed.
    expect(sums?.rows).to.be.within(2, 3)
  })

  it("counts refusals only once if they are reported twice", async () => {
    const { maintenance } = installed.current
    await maintenance.during("concurrent", { as: "alice" }, () => undefined)
    const [window] = (await journal()) as [PastWindow]
    const tell = (instance: string, count: number, minute = 1) =>
      database.current.sql("select maintenance.count_refusals($1, $2)", [
        instance,
        JSON.stringify([{ window_id: window.id, minute, entity: "Item", operation: "insert", count }]),
      ])
    await tell("one", 3)
    await tell("one", 5)
    // A delayed report whose answer was lost.
    await tell("one", 3)
    await tell("one", 2, 2)
    await tell("other", 4)
    expect((await journal())[0]?.refusals).to.deep.equal([{ entity: "Item", operation: "insert", count: 11 }])
  })

  it("receives the refusals after 10 seconds while the window stands, even from an idle instance", async () => {
    const { maintenance } = installed.current
    const { windowId } = await enter(maintenance, "first")
    const told = async () => {
      const sql = "select sum(count)::int as count from maintenance.refusal where window_id = $1"
      const [row] = await database.current.sql<{ count: number | null }>(sql, [windowId])
      return row?.count ?? 0
    }
    // A DataSource of its own, which has set no timer for earlier refusals.
    await withMaintenance(database.current.url, {}, ({ dataSource }) =>
      withTimersOf(10_000, async (elapse) => {
        for (const name of ["barrel", "crate", "keg"])
          expect(await errorOf(dataSource.getRepository(Item).insert({ name }))).to.be.instanceOf(Error)
        await dataSource.query("select 1")
        expect(await told()).to.equal(0)
        elapse()
        await until(async () => (await told()) > 0)
        expect(await told()).to.equal(3)
      }),
    )
  })

  it("records a window that a restore has lost as replaced", async () => {
    const { maintenance } = installed.current
    const { windowId: id, since } = await enter(maintenance, "rebuild")
    await database.current.sql(`drop schema maintenance cascade; ${maintenanceSchemaSql()}`)
    const windows = async (): Promise<PastWindow[]> => {
      // The watch reconnects, because its registration is gone.
      const found = await maintenance.status().then(journal, () => [])
      return found.length > 0 ? found : windows()
    }
    const [window, ...others] = await windows()
    expect(others).to.deep.equal([])
    const { endedAt, ...rest } = window as PastWindow
    expect(rest).to.deep.equal({
      id,
      mode: "concurrent",
      maintainer: "alice",
      reason: "rebuild",
      since,
      begunAt: since,
      endedBecause: "replaced",
      refusals: [],
    })
    expect(endedAt).to.be.instanceOf(Date)
  })

  it("records the window of a task that a restore has lost as replaced", async () => {
    const { maintenance } = installed.current
    const task = maintenance.during("concurrent", { as: "alice" }, async () => {
      await database.current.sql(`drop schema maintenance cascade; ${maintenanceSchemaSql()}`)
    })
    await errorOf(task)
    const windows = async (): Promise<PastWindow[]> => {
      const found = await journal()
      return found.length > 0 ? found : windows()
    }
    expect((await windows())[0]).to.include({ endedBecause: "replaced", maintainer: "alice" })
  })

  it("keeps the row of a window that a process mistakes for replaced", async () => {
    const { maintenance } = installed.current
    await maintenance.during("concurrent", { as: "alice" }, () => undefined)
    const [window] = (await journal()) as [PastWindow]
    const lost = { id: window.id, mode: "exclusive", maintainer: "mallory", since_ms: 0 }
    await database.current.sql("select maintenance.note_replaced($1)", [lost])
    expect(await journal()).to.deep.equal([window])
  })
})

describe("The journal on a read replica", () => {
  it("equals that of the primary", async () => {
    const server = await startEmbeddedServer()
    try {
      await withMaintenance(server.url, {}, async ({ maintenance }) => {
        await maintenance.during("concurrent", { as: "alice", reason: "rebuild" }, () => undefined)
        const windows = await maintenance.journal()
        expect(windows).to.have.lengthOf(1)
        const standby = await server.startStandby()
        try {
          await standby.caughtUp()
          await withMaintenance(standby.url, {}, async (replica) => {
            expect(await replica.maintenance.journal()).to.deep.equal(windows)
          })
        } finally {
          await standby.stop()
        }
      })
    } finally {
      await server.stop()
    }
  })
})
