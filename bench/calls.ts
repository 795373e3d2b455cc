import { type ContenderName, type Setup, withContenders } from "./contenders"
import { network } from "./network"
import { operations } from "./operations"
import { alternate, type Effort, quantile } from "./rounds"
import { microseconds, printTable, spread } from "./table"

const contenders: readonly ContenderName[] = [
  "plain",
  "normal",
  "concurrent",
  "exclusive",
  "naive subscriber",
  "statement triggers",
]

/**
 * Measures whole calls of the public API for every contender, at 1 and 16 connections, with and without a
 * delay.
 */
export async function calls(url: string): Promise<void> {
  for (const delayMs of [0, 1]) {
    for (const connections of [1, 16]) {
      const effort = delayMs
        ? { rounds: 15, calls: Math.max(10, connections * 4), loops: connections }
        : { rounds: 60, calls: 64, loops: connections }
      await compare(
        `${connections} connections, ${delayMs} ms`,
        { url, delayMs, connections },
        effort,
        contenders,
      )
    }
  }
}

/**
 * Measures plain TypeORM and normal mode without other contenders, so that nothing else in the process uses
 * AsyncLocalStorage.
 */
export async function alone(url: string): Promise<void> {
  for (const delayMs of [0, 1]) {
    const effort = delayMs ? { rounds: 100, calls: 10, loops: 1 } : { rounds: 300, calls: 50, loops: 1 }
    await compare(`alone, ${delayMs} ms`, { url, delayMs, connections: 1 }, effort, ["plain", "normal"])
  }
}

/** Measures the plugin with and without prepared statements: the cost of a pooler that mixes them up. */
export function unprepared(url: string): Promise<void> {
  const effort = { rounds: 150, calls: 64, loops: 1 }
  return compare("prepared statements off", { url, delayMs: 0, connections: 1 }, effort, [
    "plain",
    "normal",
    "not prepared",
  ])
}

async function compare(
  title: string,
  { url, delayMs, connections }: Pick<Setup, "url" | "connections"> & { delayMs: number },
  effort: Effort,
  names: readonly ContenderName[],
): Promise<void> {
  const { url: via, close } = await network(url, delayMs)
  try {
    await withContenders(names, { url, via, connections }, async (all) => {
      const rows: string[][] = []
      for (const [operation, run] of Object.entries(operations)) {
        const measured = await alternate(
          all.map((one) => (n) => one.run(() => run(one.dataSource, n))),
          effort,
        )
        measured.forEach(({ ratios, latencies }, index) =>
          rows.push([
            index === 0 ? operation : "",
            names[index] ?? "",
            spread(quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75)),
            microseconds(quantile(latencies, 0.5)),
            microseconds(quantile(latencies, 0.99)),
          ]),
        )
      }
      printTable(title, ["operation", "", "ratio to plain", "p50", "p99"], rows)
    })
  } finally {
    close()
  }
}
