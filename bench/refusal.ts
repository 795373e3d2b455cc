import { withPlugin } from "./contenders"
import { Product } from "./entities"
import { quantile } from "./rounds"
import { microseconds, printTable } from "./table"

const attempts = 20_000

interface PoolWithClients {
  readonly _clients: readonly {
    readonly connection: { readonly stream: { readonly bytesWritten: number } }
  }[]
}

/** Measures the cost of a refusal in exclusive mode, and shows that it sends nothing. */
export async function refusal(url: string): Promise<void> {
  await withPlugin("exclusive", { url, via: url, connections: 1 }, async ({ dataSource }) => {
    const repository = dataSource.getRepository(Product)
    const { master } = dataSource.driver as unknown as { master: PoolWithClients }
    const sent = () =>
      master._clients.reduce((sum, { connection }) => sum + connection.stream.bytesWritten, 0)
    const latencies: number[] = []
    const before = sent()
    for (let attempt = 0; attempt < attempts; attempt++) {
      // An immediate retry would be delayed. The measurement covers the refusal alone.
      await new Promise(setImmediate)
      const start = performance.now()
      await repository.findOneBy({ id: 1 }).catch(() => undefined)
      latencies.push((performance.now() - start) * 1000)
    }
    printTable(
      "a refusal in exclusive mode (findOneBy by a stranger)",
      ["p50", "p99", "bytes sent"],
      [
        [
          microseconds(quantile(latencies, 0.5)),
          microseconds(quantile(latencies, 0.99)),
          String(sent() - before),
        ],
      ],
    )
  })
}
