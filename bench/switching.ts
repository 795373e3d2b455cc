import { Client } from "pg"
import type { DataSource } from "typeorm"
import type { Maintenance } from "../src"
import { withPlugin } from "./contenders"
import { Product } from "./entities"
import { quantile } from "./rounds"
import { microseconds, printTable } from "./table"

/** Number of switches in a measurement. */
export const switches = 200
/** Total number of transactions a second. */
const rate = 1000
/** Number of loops, and of connections, that run transactions. */
export const loops = 8

/** Measures `enter()` under load, and beside open transactions that have not reached their commit. */
export async function switching(url: string): Promise<void> {
  const rows: string[][] = []
  for (const open of [0, 10, 100]) {
    await withPlugin("normal", { url, via: url, connections: loops }, async ({ dataSource, maintenance }) => {
      const idle = await openTransactions(url, open)
      const { latencies, perSecond } = await enterUnderLoad(dataSource, maintenance)
      for (const client of idle) await client.end()
      rows.push([
        String(open),
        perSecond.toFixed(0),
        microseconds(quantile(latencies, 0.5)),
        microseconds(quantile(latencies, 0.99)),
      ])
    })
  }
  printTable(
    `enter() under load, ${switches} times`,
    ["open transactions beside", "transactions a second", "p50", "p99"],
    rows,
  )
}

/**
 * Measures `enter()` while other users commit at a fixed rate. Returns the latencies in microseconds and the
 * rate achieved.
 */
export async function enterUnderLoad(
  dataSource: DataSource,
  maintenance: Maintenance,
): Promise<{ latencies: number[]; perSecond: number }> {
  let isDone = false
  let committed = 0
  const start = performance.now()
  const load = Array.from({ length: loops }, async () => {
    while (!isDone) {
      while (committed > ((performance.now() - start) / 1000) * rate) {
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      await dataSource
        .transaction((manager) => manager.update(Product, { id: 1 + (committed % 1000) }, { stock: 1 }))
        .catch(() => undefined)
      committed++
    }
  })
  const latencies: number[] = []
  for (let count = 0; count < switches; count++) {
    const before = performance.now()
    await maintenance.enter("concurrent", { as: "bench" })
    latencies.push((performance.now() - before) * 1000)
    await maintenance.leave({ as: "bench" })
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  isDone = true
  await Promise.all(load)
  return { latencies, perSecond: committed / ((performance.now() - start) / 1000) }
}

/** Opens transactions that have written, and stay open. */
async function openTransactions(url: string, count: number): Promise<Client[]> {
  const clients: Client[] = []
  for (let n = 0; n < count; n++) {
    const target = new URL(url)
    target.pathname = "/bench_normal"
    const client = new Client({ connectionString: target.toString() })
    await client.connect()
    await client.query("begin; insert into naive_mode values ('open')")
    clients.push(client)
  }
  return clients
}
