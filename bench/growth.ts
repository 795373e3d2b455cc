import { withContenders } from "./contenders"
import { operations } from "./operations"
import { alternate, quantile } from "./rounds"
import { printTable, spread } from "./table"

const measured = ["findOneBy", "save of a new entity"] as const

/** Measures how the plugin's share grows with the number of entities and of connections. */
export async function growth(url: string): Promise<void> {
  const rows: string[][] = []
  const measure = async (what: string, entities: number, connections: number) => {
    await withContenders(["plain", "normal"], { url, via: url, connections, entities }, async (all) => {
      const ratios: string[] = []
      for (const operation of measured) {
        const [, normal] = await alternate(
          all.map(
            ({ dataSource }) =>
              (n) =>
                operations[operation](dataSource, n),
          ),
          { rounds: 60, calls: 200, loops: connections },
        )
        const values = normal?.ratios ?? []
        ratios.push(spread(quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75)))
      }
      rows.push([what, ...ratios])
    })
  }
  for (const entities of [10, 100, 1000]) await measure(`${entities} entities`, entities, 1)
  for (const connections of [1, 10, 100]) await measure(`${connections} connections`, 1, connections)
  printTable("growth: ratio to plain TypeORM", ["", ...measured], rows)
}
