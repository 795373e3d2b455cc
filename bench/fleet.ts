import type { Client } from "pg"
import { withClient } from "../test/support/database"
import { withPlugin } from "./contenders"
import { FleetHosts } from "./fleet-hosts"
import { quantile } from "./rounds"
import { enterUnderLoad, loops, switches } from "./switching"
import { microseconds, printTable } from "./table"

/** Numbers of instances besides the one that enters, and of their processes. */
const spreads = [
  { instances: 0, processes: 0 },
  { instances: 9, processes: 1 },
  { instances: 9, processes: 9 },
  { instances: 99, processes: 1 },
  { instances: 99, processes: 10 },
] as const

const notices = 50
const idleMs = 45_000
/** Time after which the statistics include all earlier activity, in milliseconds. */
const settleMs = 11_000

/**
 * Measures the cost of other instances, in one process and in several: `enter()` under load, the time until
 * each instance refuses, and idle traffic and connections.
 */
export async function fleet(url: string): Promise<void> {
  const rows: string[][] = []
  for (const { instances, processes } of spreads) {
    await withPlugin("normal", { url, via: url, connections: loops }, async ({ dataSource, maintenance }) => {
      const own = new URL(url)
      own.pathname = "/bench_normal"
      const hosts = await FleetHosts.start(own.toString(), instances, processes)
      const { latencies, perSecond } = await enterUnderLoad(dataSource, maintenance)
      const delays: number[] = []
      for (let count = 0; count < notices && instances > 0; count++) {
        delays.push(...(await hosts.delaysOf(() => maintenance.enter("exclusive", { as: "bench" }))))
        await maintenance.leave({ as: "bench" })
      }
      const idle = await idleCost(own.toString())
      await hosts.stop()
      rows.push([
        String(instances + 1),
        String(processes + 1),
        perSecond.toFixed(0),
        microseconds(quantile(latencies, 0.5)),
        microseconds(quantile(latencies, 0.99)),
        delays.length > 0 ? microseconds(quantile(delays, 0.5)) : "",
        delays.length > 0 ? microseconds(quantile(delays, 0.99)) : "",
        idle.transactions.toFixed(1),
        String(idle.connections),
      ])
    })
  }
  printTable(
    `instances: enter() under load, ${switches} times; from the call of enter("exclusive") to the early refusal, ${notices} times; ` +
      "all idle",
    [
      "instances",
      "processes",
      "transactions a second",
      "enter() p50",
      "p99",
      "refuses after p50",
      "p99",
      "transactions a minute, idle",
      "connections of watches",
    ],
    rows,
  )
}

/**
 * Counts the transactions a minute of everything connected to a database, without the counting itself, and
 * the watches' connections.
 */
async function idleCost(url: string): Promise<{ transactions: number; connections: number }> {
  return withClient(url, async (client) => {
    await new Promise((resolve) => setTimeout(resolve, settleMs))
    const before = await transactions(client)
    await new Promise((resolve) => setTimeout(resolve, idleMs))
    const after = await transactions(client)
    const { rows } = await client.query<{ count: number; are_idle: boolean }>(
      `select count(*) filter (where application_name = 'typeorm-maintenance-mode')::int as count,
         coalesce(max(query_start) < clock_timestamp() - $1 * interval '1 millisecond', true) as are_idle
       from pg_stat_activity
       where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`,
      [idleMs],
    )
    const { count: connections = 0, are_idle: areIdle = false } = rows[0] ?? {}
    // Two transactions belong to the counting. If no session has run anything, the others belong to
    // autovacuum.
    const counted = areIdle ? 0 : Math.max(0, after - before - 2)
    return { transactions: counted * (60_000 / idleMs), connections }
  })
}

async function transactions(client: Client): Promise<number> {
  await client.query("select pg_stat_clear_snapshot()")
  const { rows } = await client.query<{ count: string }>(
    "select xact_commit + xact_rollback as count from pg_stat_database where datname = current_database()",
  )
  return Number(rows[0]?.count)
}
