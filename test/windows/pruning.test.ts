import { expect } from "chai"
import { connectMaintenance, type ConnectOptions, type MaintenanceOptions } from "../../src"
import { Client } from "pg"
import { Pruning } from "../../src/watch/pruning"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { plansOf, scansIn } from "../support/plans"
import { until } from "../support/until"

const tables = ["window", "change", "refusal"] as const

describe("The pruning of the journal", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)

  /** Past windows, with a change and a refusal each. */
  const note = (count: number, age: string) =>
    database.current.sql(
      `with past as (
        insert into maintenance.window
          (id, position, mode, maintainer, since, begun_at, terms, ended_at, ended_because)
        select '${age} ' || i, 'over', 'concurrent', 'alice', now() - $1::interval, now() - $1::interval, '', now() - $1::interval, 'left'
        from generate_series(1, $2::int) i returning id, ended_at
      ), changed as (
        insert into maintenance.change (kind, name, window_id, at) select 'left', id, id, ended_at from past
      )
      insert into maintenance.refusal (window_id, instance, minute, count) select id, 'one', ended_at, 1 from past`,
      [age, count],
    )
  const left = async (age: string) => {
    const sql = `select (select count(*)::int from maintenance.window where id like $1) as window,
      (select count(*)::int from maintenance.change where name like $1) as change,
      (select count(*)::int from maintenance.refusal where window_id like $1) as refusal`
    return (await database.current.sql(sql, [`${age} %`]))[0]
  }
  const all = (count: number) => ({ window: count, change: count, refusal: count })
  const prune = async (days = 400) => {
    const [row] = await database.current.sql<{ prune: boolean }>("select maintenance.prune($1)", [days])
    return row?.prune
  }
  beforeEach(() => database.current.sql(tables.map((table) => `delete from maintenance.${table};`).join("")))

  it("deletes rows older than the given number of days, in batches of a hundred", async () => {
    await note(250, "401 days")
    await note(3, "399 days")
    expect(await prune()).to.equal(true)
    expect(await left("401 days")).to.deep.equal(all(150))
    expect(await prune()).to.equal(true)
    expect(await prune()).to.equal(false)
    expect(await left("401 days")).to.deep.equal(all(0))
    expect(await left("399 days")).to.deep.equal(all(3))
    await prune(399)
    expect(await left("399 days")).to.deep.equal(all(0))
  })

  it("finds them by index, regardless of their number", async () => {
    await note(450, "401 days")
    await note(20_000, "1 day")
    await database.current.sql("analyze")
    const plans = await plansOf(database.current.url, ["select maintenance.prune(400)"])
    for (const index of ["window_ended", "change_at", "refusal_minute"])
      expect(plans.join("\n")).to.include(`Index Scan using ${index} on `)
    for (const table of tables) expect(scansIn(plans, table)).to.deep.equal([])
  })

  it("skips rows that others are about to change, and waits for nobody", async () => {
    await note(3, "401 days")
    await withClient(database.current.url, async (client) => {
      await client.query("begin")
      for (const [table, column] of [
        ["window", "id"],
        ["change", "name"],
        ["refusal", "window_id"],
      ])
        await client.query(`select from maintenance.${table} where ${column} = '401 days 1' for key share`)
      await prune()
      expect(await left("401 days")).to.deep.equal(all(1))
      await client.query("rollback")
    })
  })

  it("does not delay a switch", async () => {
    const { maintenance } = installed.current
    await note(3, "401 days")
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select maintenance.prune(400)")
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.during("exclusive", { as: "alice", drain: { withinMs: 0, then: "proceed" } }, () => 0)
      await maintenance.leave({ as: "alice" })
      expect(await maintenance.journal()).to.have.lengthOf(5)
      await client.query("rollback")
    })
  })

  it("keeps the changes of a window in force, regardless of its age", async () => {
    const { maintenance } = installed.current
    const { windowId } = await maintenance.enter("concurrent", { as: "alice" })
    await database.current.sql("update maintenance.change set at = now() - interval '10 days'")
    await database.current.sql("update maintenance.window set begun_at = now() - interval '10 days'")
    await prune(1)
    const kinds = "select kind, window_id from maintenance.change order by kind"
    expect(await database.current.sql(kinds)).to.deep.equal([
      { kind: "entered", window_id: windowId },
      { kind: "standing", window_id: windowId },
    ])
    expect(await maintenance.status()).to.include({ mode: "concurrent", windowId })
    await maintenance.leave({ as: "alice" })
    await prune(1)
    expect(await database.current.sql(kinds)).to.deep.equal([{ kind: "left", window_id: windowId }])
  })

  // Another process, which may prune as well, keeps the default.
  for (const [plugin, kept, pruned] of [
    [{}, 399, 401],
    [{ journalDays: 500 }, 399, 501],
    [{ journalDays: 300 }, 299, 301],
  ] as [MaintenanceOptions, number, number][]) {
    it(`is done by processes after a change: ${JSON.stringify(plugin)}`, async () => {
      const [young, old] = [`${kept} days`, `${pruned} days`]
      await note(150, young)
      await note(150, old)
      const { random } = Math
      await withMaintenance(database.current.url, { plugin }, async ({ maintenance }) => {
        // Makes it due immediately.
        Math.random = () => 0
        await maintenance.during("concurrent", { as: "alice" }, () => undefined)
        Math.random = random
        await until(async () => JSON.stringify(await left(old)) === JSON.stringify(all(0)))
        expect(await left(young)).to.deep.equal(all(150))
      }).finally(() => (Math.random = random))
    })
  }

  it("runs within an hour, or within a minute after a change, and not at each look at the state", () => {
    const { random } = Math
    const { now } = performance
    let time = 0
    performance.now = () => time
    Math.random = () => 0.5
    /** Seconds until it is due, with a look at the state every second. */
    const dueAfter = (isChanged: boolean) => {
      let isPruned = false
      const pruning = new Pruning(async () => {
        isPruned = true
        return false
      })
      pruning.looked(isChanged)
      const start = time
      while (!isPruned && time - start < 7_200_000) {
        time += 1000
        pruning.looked(false)
      }
      return (time - start) / 1000
    }
    try {
      expect(dueAfter(false)).to.equal(1800)
      expect(dueAfter(true)).to.equal(30)
    } finally {
      Math.random = random
      performance.now = now
    }
  })
})

describe("The pruning by a control", () => {
  const database = useDatabase()
  // The schema alone, so that no DataSource prunes.
  before(() => withMaintenance(database.current.url, {}, () => Promise.resolve()))

  const past = async () =>
    (await database.current.sql("select from maintenance.window where id like 'past %'")).length

  for (const [options, rest] of [
    [{}, 50],
    [{ journalDays: 300 }, 0],
  ] as [ConnectOptions, number][]) {
    it(`happens only if journalDays is given: ${JSON.stringify(options)}`, async () => {
      await database.current.sql("delete from maintenance.window where id like 'past %'")
      await database.current.sql(
        `insert into maintenance.window (id, position, mode, maintainer, since, begun_at, terms, ended_at, ended_because)
         select 'past ' || i, 'over', 'concurrent', 'alice', t, t, '', t, 'left'
         from generate_series(1, 50) i, (select now() - interval '3 years' as t) as long_ago`,
      )
      const { random } = Math
      // Makes it due immediately.
      Math.random = () => 0
      const control = await connectMaintenance(
        (settings) => new Client({ connectionString: database.current.url, ...settings }),
        options,
      )
      try {
        await control.during("concurrent", { as: "alice" }, () => undefined)
      } finally {
        Math.random = random
        // Sends what waits for its turn before.
        await control.close()
      }
      expect(await past()).to.equal(rest)
    })
  }
})
