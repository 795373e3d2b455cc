import { DataSource } from "typeorm"
import { installMaintenance } from "../src"
import { bystanders, Product } from "./entities"
import { quantile } from "./rounds"
import { printTable } from "./table"

const rounds = Number(process.env["BENCH_STARTS"] ?? 100)
/** Number of starts that are not counted, because the first starts of a process take longer. */
const warmUps = 5
/** Number of entities, which TypeORM takes time to inspect. */
const entities = 20

/** Measures `initialize()` and `destroy()`, alternating with plain TypeORM. The schema exists already. */
export async function start(url: string): Promise<void> {
  const measured = { plain: newTimes(), normal: newTimes() }
  for (let round = -warmUps; round < rounds; round++) {
    const names = round % 2 === 0 ? (["plain", "normal"] as const) : (["normal", "plain"] as const)
    for (const name of names) {
      const times = await life(url, name === "normal")
      if (round < 0) continue
      measured[name].initialize.push(times.initialize)
      measured[name].destroy.push(times.destroy)
    }
  }
  const calls = ["initialize", "destroy"] as const
  const rows = calls.flatMap((call) =>
    (["plain", "normal"] as const).map((name) => {
      const times = measured[name][call]
      return [`${call}()`, name, ...[0.25, 0.5, 0.75].map((q) => `${quantile(times, q).toFixed(1)} ms`)]
    }),
  )
  printTable(`starting, ${entities} entities`, ["call", "", "p25", "p50", "p75"], rows)
}

function newTimes(): { initialize: number[]; destroy: number[] } {
  return { initialize: [], destroy: [] }
}

/** Initializes and destroys one DataSource. */
async function life(url: string, hasPlugin: boolean): Promise<{ initialize: number; destroy: number }> {
  const dataSource = new DataSource({
    type: "postgres",
    url,
    entities: [Product, ...bystanders(entities - 1)],
  })
  const maintenance = hasPlugin ? installMaintenance(dataSource) : undefined
  const initialize = await duration(() => dataSource.initialize())
  const destroy = await duration(() => dataSource.destroy())
  await maintenance?.uninstall()
  return { initialize, destroy }
}

async function duration(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}
