import { readFileSync } from "node:fs"
import { withClient } from "../test/support/database"
import { type Contender, type ContenderName, withContenders } from "./contenders"
import { operations } from "./operations"
import { printTable } from "./table"

const names = ["plain", "normal"] as const satisfies ContenderName[]
const connections = 16
/** Calls of each contender in a round; every connection makes the same number. */
const calls = 1600
const rounds = 20
/** Linux counts the time of a process in hundredths of a second. */
const tickMicroseconds = 10_000

interface Spent {
  client: number
  server: number
}

/**
 * Measures the processor time of the client and of its backends for each call, with as many connections as
 * saturate both, for plain TypeORM and normal mode in turn. Processor time, unlike wall time, does not depend on
 * which of the two waits for the other. Reads /proc, so it needs Linux and a server on the same machine.
 */
export async function cpu(url: string): Promise<void> {
  await withContenders(names, { url, via: url, connections }, async (all) => {
    const rows: string[][] = []
    for (const [operation, run] of Object.entries(operations)) {
      let n = 0
      const round = async ({ dataSource }: Contender) => {
        await Promise.all(
          Array.from({ length: connections }, async () => {
            for (let count = 0; count < calls / connections; count++) await run(dataSource, n++)
          }),
        )
      }
      for (const one of all) await round(one)
      const pids = await Promise.all(names.map((name) => backends(url, name)))
      const spent = all.map((): Spent => ({ client: 0, server: 0 }))
      for (let count = 0; count < rounds; count++) {
        for (const index of count % 2 === 0 ? [0, 1] : [1, 0]) {
          const before = spentNow(pids[index] ?? [])
          await round(all[index] as Contender)
          const after = spentNow(pids[index] ?? [])
          const sum = spent[index] as Spent
          sum.client += after.client - before.client
          sum.server += after.server - before.server
        }
      }
      rows.push([operation, ...row(spent as [Spent, Spent])])
    }
    printTable(
      `processor time of a call, ${connections} connections, no delay`,
      ["operation", "client", "server", "client, ratio", "server, ratio", "both, ratio"],
      rows,
    )
  })
}

function row([plain, normal]: [Spent, Spent]): string[] {
  const each = (microseconds: number) => (microseconds / (rounds * calls)).toFixed(0)
  const ratio = (a: number, b: number) => (b / a).toFixed(2)
  return [
    `${each(plain.client)} -> ${each(normal.client)} us`,
    `${each(plain.server)} -> ${each(normal.server)} us`,
    ratio(plain.client, normal.client),
    ratio(plain.server, normal.server),
    ratio(plain.client + plain.server, normal.client + normal.server),
  ]
}

/** The backends of a contender's pool. */
function backends(url: string, name: ContenderName): Promise<number[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = $1 and backend_type = 'client backend'
         and application_name <> 'typeorm-maintenance-mode'`,
      [`bench_${name}`],
    )
    return rows.map(({ pid }) => pid)
  })
}

function spentNow(pids: readonly number[]): Spent {
  const { user, system } = process.cpuUsage()
  return { client: user + system, server: pids.reduce((sum, pid) => sum + timeOf(pid), 0) }
}

/** Processor time of a process in microseconds. */
function timeOf(pid: number): number {
  // The name of the command, in brackets, may contain spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) * tickMicroseconds
}
