import { expect } from "chai"
import type { Client } from "pg"
import type { Maintenance } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { withoutWaiting } from "./broken-variants"
import { difference, lingerFor, openShops, stockOfAll, writerName } from "./shops"
import { type Attempt, Writers } from "./writers"
import { until } from "../support/until"

/** Number of switches. Few by default; `npm run race` runs the long race. */
const switches = Number(process.env["RACE_SWITCHES"] ?? 8)
const isLong = process.env["RACE_SWITCHES"] !== undefined
const seed = Number(process.env["RACE_SEED"] ?? Math.floor(Math.random() * 1e9))
/** The numbers of the shops of each process. */
const processes = [
  [1, 2, 3, 4],
  [5, 6, 7, 8],
]
const numbers = processes.flat()

/** Maximum number of leaks, and of changes, that are printed. */
const maxNamed = 30

/** The results of a run of switches under load. */
interface Report {
  switches: number
  readonly attempts: Attempt[]
  /** The attempts in a shop that changed between `enter()` and `leave()`. */
  readonly leaks: Attempt[]
  /** The changes in those shops. */
  readonly changes: string[]
}

/**
 * Rolls back prepared transactions that would block the work, as an operator would, until the work is done.
 */
async function endingPrepared<T>(client: Client, work: Promise<T>): Promise<T> {
  let isDone = false
  const done = work.finally(() => (isDone = true))
  while (!isDone) await endPrepared(client)
  return done
}

async function endPrepared(client: Client): Promise<void> {
  const { rows } = await client.query<{ text: string }>(
    `select 'rollback prepared ' || quote_literal(gid) as text from pg_prepared_xacts
     where database = current_database()`,
  )
  // The shop may roll it back itself.
  for (const { text } of rows) await client.query(text).catch(() => undefined)
}

/** Switches the mode the given number of times or, with `untilLeak`, until something has leaked. */
async function race(
  url: string,
  maintenance: Maintenance,
  windows: number,
  untilLeak = false,
): Promise<Report> {
  const report: Report = { switches: 0, attempts: [], leaks: [], changes: [] }
  const args = processes.map((shops) => [url, String(seed), ...shops.map(String)])
  const writers = await Writers.start("shop-writer.js", args)
  try {
    await withClient(url, (keeper) =>
      withClient(url, async (observer) => {
        report.attempts.push(...(await writers.lap()))
        while (report.switches < windows && !(untilLeak && report.leaks.length > 0)) {
          const mode = ++report.switches % 4 === 0 ? "exclusive" : "concurrent"
          await endingPrepared(observer, maintenance.enter(mode, { as: "alice" }))
          const atEnter = await stockOfAll(keeper, observer, numbers)
          // A transaction prepared in a window has leaked, and can keep its writer waiting.
          const during = await (untilLeak ? endingPrepared(observer, writers.lap()) : writers.lap())
          const atLeave = await stockOfAll(keeper, observer, numbers)
          const changed = numbers.filter((number) => atEnter.get(number) !== atLeave.get(number))
          report.leaks.push(...during.filter(({ shop = 0 }) => changed.includes(shop)))
          report.changes.push(
            ...changed.flatMap((number) => difference(atEnter.get(number), atLeave.get(number))),
          )
          report.attempts.push(...during)
          await maintenance.leave({ as: "alice" })
          report.attempts.push(...(await writers.lap()))
        }
      }),
    )
    return report
  } finally {
    await writers.stop()
    await gone(url)
  }
}

/**
 * Resolves when PostgreSQL has noticed the end of the writers, and rolls back their prepared transactions.
 */
async function gone(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const left = `select from pg_stat_activity where datname = current_database() and application_name = '${writerName}'`
    await until(async () => (await client.query(left)).rowCount === 0)
    await endPrepared(client)
  })
}

/** Prints the report of a race. */
function print({ switches: done, attempts, leaks, changes }: Report): void {
  const outcomes = new Map<string, Attempt[]>()
  for (const attempt of attempts) {
    const known = outcomes.get(attempt.outcome)
    if (known) known.push(attempt)
    else outcomes.set(attempt.outcome, [attempt])
  }
  const sorted = [...outcomes].toSorted(([, some], [, others]) => others.length - some.length)
  const doorsOf = (some: readonly Attempt[]) => [...new Set(some.map(({ door }) => door))]
  console.log(
    `      seed ${seed}: ${done} switches, ${attempts.length} attempts through ${doorsOf(attempts).length} doors:`,
  )
  for (const [outcome, some] of sorted) {
    const doors = doorsOf(some)
    console.log(`        ${some.length} ${outcome}${doors.length < 4 ? ` (${doors.join(", ")})` : ""}`)
  }
  console.log(`      ${leaks.length} leaks`)
  for (const { door, outcome, shop } of leaks.slice(0, maxNamed))
    console.log(`        ${door} (${outcome}, shop ${shop})`)
  for (const change of changes.slice(0, maxNamed)) console.log(`        ${change}`)
}

describe(`A switch under writers that try every door (seed ${seed})`, function () {
  this.timeout(600_000 + switches * 10_000)
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() =>
    withClient(database.current.url, (client) =>
      openShops(database.current.url, numbers, {
        sql: async (text, values) => (await client.query(text, values)).rows as never,
      }),
    ),
  )

  it(`lets nothing through in ${switches} windows`, async () => {
    const report = await race(database.current.url, installed.current.maintenance, switches)
    if (isLong || report.leaks.length > 0) print(report)
    expect(report.leaks).to.deep.equal([])
    expect(report.attempts.filter(({ outcome }) => outcome === "done")).to.have.length.greaterThan(switches)
  })

  it("is detected to leak if enter() does not wait for those who hold the gate", async () => {
    const { maintenance } = installed.current
    const restore = await withoutWaiting(database.current)
    await lingerFor(0.05, numbers, database.current)
    try {
      const report = await race(database.current.url, maintenance, 200, true)
      if (isLong) print(report)
      expect(report.leaks).not.to.deep.equal([])
    } finally {
      await restore()
    }
  })
})
