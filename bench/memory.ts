import { withPlugin } from "./contenders"
import { Product } from "./entities"
import { printTable } from "./table"

const loops = 8
/** Number of portions, so that a slow leak shows as a slope. */
const portions = 4

/**
 * Measures the heap after many transactions that read and write, after garbage collection. Needs `node
 * --expose-gc`.
 */
export async function memory(url: string): Promise<void> {
  const transactions = Number(process.env["BENCH_TRANSACTIONS"] ?? 1_000_000)
  await withPlugin("normal", { url, via: url, connections: loops }, async ({ dataSource }) => {
    const rows: string[][] = []
    const heap = () => {
      globalThis.gc?.()
      return process.memoryUsage().heapUsed / 2 ** 20
    }
    const run = async (count: number) => {
      await Promise.all(
        Array.from({ length: loops }, async () => {
          for (let n = 0; n < count / loops; n++) {
            await dataSource.transaction(async (manager) => {
              await manager.update(Product, { id: (n % 1000) + 1 }, { stock: n })
            })
          }
        }),
      )
    }
    await run(10_000)
    rows.push(["10000 (warm)", `${heap().toFixed(1)} MiB`])
    for (let portion = 1; portion <= portions; portion++) {
      await run(transactions / portions)
      rows.push([String((transactions / portions) * portion), `${heap().toFixed(1)} MiB`])
    }
    printTable("memory", ["transactions", "heap used"], rows)
  })
}
