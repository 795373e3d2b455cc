import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { withClient } from "../test/support/database"
import { withPlugin } from "./contenders"
import { quantile } from "./rounds"
import { enterUnderLoad, loops, switches } from "./switching"
import { microseconds, printTable } from "./table"

const notices = 50
const idleMs = 30_000

/** What other instances cost: enter() under load among them, how long until each refuses, and what they do when idle. */
export async function fleet(url: string): Promise<void> {
  const rows: string[][] = []
  for (const instances of [1, 10, 100]) {
    await withPlugin("normal", { url, via: url, connections: loops }, async ({ dataSource, maintenance }) => {
      const own = new URL(url)
      own.pathname = "/bench_normal"
      const host = fork(join(__dirname, "fleet-host.js"), [own.toString(), String(instances - 1)])
      await once(host, "message")
      const knows: number[] = []
      host.on("message", ({ mode, at }: { mode: string; at: number }) => {
        if (mode === "exclusive") knows.push(at)
      })
      const { latencies, perSecond } = await enterUnderLoad(dataSource, maintenance)
      const delays: number[] = []
      for (let count = 0; count < notices && instances > 1; count++) {
        knows.length = 0
        const before = Number(process.hrtime.bigint()) / 1000
        await maintenance.enter("exclusive", { as: "bench" })
        // They acknowledge after they know; what they tell may be on its way.
        while (knows.length < instances - 1) await new Promise(setImmediate)
        delays.push(...knows.map((at) => at - before))
        await maintenance.leave({ as: "bench" })
      }
      const idle = await statementsInIdle(own.toString())
      host.disconnect()
      await once(host, "exit")
      rows.push([
        String(instances),
        perSecond.toFixed(0),
        microseconds(quantile(latencies, 0.5)),
        microseconds(quantile(latencies, 0.99)),
        delays.length > 0 ? microseconds(quantile(delays, 0.5)) : "",
        delays.length > 0 ? microseconds(quantile(delays, 0.99)) : "",
        idle.toFixed(1),
      ])
    })
  }
  printTable(
    `instances: enter() under load, ${switches} times; from the call of enter("exclusive") to the early refusal, ${notices} times`,
    [
      "instances",
      "transactions a second",
      "enter() p50",
      "p99",
      "refuses after p50",
      "p99",
      "transactions a minute, all idle",
    ],
    rows,
  )
}

/** How many transactions a minute all that is connected to a database makes, beside those that look. */
async function statementsInIdle(url: string): Promise<number> {
  return withClient(url, async (client) => {
    const look = async () => {
      await client.query("select pg_stat_clear_snapshot()")
      const { rows } = await client.query<{ count: string }>(
        "select xact_commit + xact_rollback as count from pg_stat_database where datname = current_database()",
      )
      return Number(rows[0]?.count)
    }
    // Statistics of what was before come within seconds.
    await new Promise((resolve) => setTimeout(resolve, 12_000))
    const before = await look()
    await new Promise((resolve) => setTimeout(resolve, idleMs))
    return Math.max(0, (await look()) - before - 2) * (60_000 / idleMs)
  })
}
