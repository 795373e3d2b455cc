import { DataSource } from "typeorm"
import { installMaintenance, type Maintenance } from "../src"
import { withClient } from "../test/support/database"
import { alternate, type Call, quantile } from "./rounds"
import { microseconds, printTable, spread } from "./table"

const windows = 1_000_000

/**
 * Windows that are over, spread over the last year, with a change and a refusal each. Half of them belong to
 * tasks.
 */
const past = `
  insert into maintenance.window
    (id, position, mode, maintainer, task, since, begun_at, entered_at, terms, instance, ended_at, ended_because, ended_by)
  select 'w' || i, 'over', 'concurrent', 'bench', case when i % 2 = 0 then 't' || i end, at, at, at, 'w' || i, i % 10, at, 'left', 'bench'
  from generate_series(1, ${windows}) i, lateral (select now() - interval '1 year' * (${windows} - i) / ${windows} as at) a;
  insert into maintenance.change (name, kind, window_id, epoch, at, made_by)
  select id, 'entered', id, place, ended_at, 'bench' from maintenance.window;
  insert into maintenance.refusal (window_id, instance, minute, entity, operation, count)
  select id, 'one', date_trunc('minute', ended_at), 'Product', 'update', 1 from maintenance.window;
`

const calls: Record<string, (maintenance: Maintenance) => Promise<unknown>> = {
  "enter and leave": async (maintenance) => {
    await maintenance.enter("concurrent", { as: "bench" })
    await maintenance.leave({ as: "bench" })
  },
  during: (maintenance) => maintenance.during("concurrent", { as: "bench" }, () => undefined),
  "announce and cancel": async (maintenance) => {
    const { id } = await maintenance.announce("concurrent", { as: "bench", startsInMs: 3_600_000 })
    await maintenance.cancel(id, { as: "bench" })
  },
  "a write": (maintenance) => maintenance.dataSource.query("update written set count = count + 1"),
  status: (maintenance) => maintenance.status(),
  journal: (maintenance) => maintenance.journal(),
}

/**
 * Measures changes of the mode, announcements, a write, the status, and reading the journal. Compares a full journal with one that is
 * empty at first.
 */
export async function journal(url: string): Promise<void> {
  const opened = [await open(url, "bench_journal_empty"), await open(url, "bench_journal_full", past)]
  try {
    const rows: string[][] = []
    for (const [name, call] of Object.entries(calls)) {
      const all = opened.map(
        ({ maintenance }): Call =>
          () =>
            call(maintenance),
      )
      const [none, full] = await alternate(all, { rounds: 60, calls: 20, loops: 1 })
      const ratios = full?.ratios ?? []
      rows.push([
        name,
        spread(quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75)),
        [none, full].map((one) => microseconds(quantile(one?.latencies ?? [], 0.5))).join(", "),
      ])
    }
    printTable(
      `journal: with ${windows} windows that are over, against none`,
      ["", "ratio", "p50 none, full"],
      rows,
    )
  } finally {
    for (const { dataSource, maintenance } of opened) {
      await dataSource.destroy()
      await maintenance.uninstall()
    }
  }
}

async function open(url: string, database: string, sql?: string) {
  await withClient(url, async (client) => {
    await client.query(`drop database if exists ${database} with (force)`)
    await client.query(`create database ${database}`)
  })
  const target = new URL(url)
  target.pathname = `/${database}`
  const dataSource = new DataSource({ type: "postgres", url: target.toString() })
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  await dataSource.query("create table written (count bigint)")
  await dataSource.query("insert into written values (0)")
  if (sql !== undefined) {
    await withClient(target.toString(), async (client) => {
      await client.query(sql)
      await client.query("vacuum analyze")
    })
  }
  return { dataSource, maintenance }
}
