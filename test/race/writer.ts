// A process of its own that writes through many doors until it is told to stop, and counts what became of it.
import "reflect-metadata"
import { DataSource, EntitySchema } from "typeorm"
import { installMaintenance, MaintenanceError } from "../../src"
import type { FromWriter, ToWriter } from "./writers"

const Ledger = new EntitySchema<{ id?: number; door: string }>({
  name: "ledger",
  columns: { id: { type: Number, primary: true, generated: true }, door: { type: String } },
})

const insertSql = "insert into ledger (door) values ($1)"

const doors: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
  save: (d) => d.getRepository(Ledger).save({ door: "save" }),
  insert: (d) => d.getRepository(Ledger).insert({ door: "insert" }),
  query: (d) => d.query(insertSql, ["query"]),
  text: (d) => d.query("insert into ledger (door) values ('text')"),
  several: (d) => d.query("begin; insert into ledger (door) values ('several'); commit"),
  "do with commit": (d) => d.query("do $$ begin insert into ledger (door) values ('do'); commit; end $$"),
  transaction: (d) => d.transaction((m) => m.insert(Ledger, { door: "transaction" })),
  "repeatable read": (d) => d.transaction("REPEATABLE READ", (m) => m.query(insertSql, ["repeatable read"])),
  serializable: (d) => d.transaction("SERIALIZABLE", (m) => m.query(insertSql, ["serializable"])),
  nested: (d) => d.transaction((m) => m.transaction((inner) => inner.query(insertSql, ["nested"]))),
  "by hand": async (d) => {
    const runner = d.createQueryRunner()
    try {
      await runner.query("begin")
      await runner.query(insertSql, ["by hand"])
      await runner.query("/* now */ commit")
    } finally {
      await runner.release()
    }
  },
}

const loops = 4
const send = (message: FromWriter) => process.send?.(message)
let isStopped = false
/** How many attempts each loop has yet to end before the lap is done. */
let remaining: number[] = []

function ended(loop: number): void {
  if (remaining.length === 0) return
  remaining[loop] = (remaining[loop] ?? 0) - 1
  if (remaining.some((count) => count > 0)) return
  remaining = []
  send("lapped")
}

async function write(dataSource: DataSource, loop: number): Promise<void> {
  const ways = Object.values(doors)
  for (let attempt = loop; !isStopped; attempt++) {
    await ways[attempt % ways.length]?.(dataSource).catch(
      (error: { code?: string; driverError?: { code?: string } }) => {
        const isExpected = error instanceof MaintenanceError || error.driverError?.code === "40001"
        if (!isExpected) throw error
      },
    )
    ended(loop)
    // A refusal in exclusive mode takes no round trip: let messages in.
    await new Promise(setImmediate)
  }
}

async function main(url: string): Promise<void> {
  const dataSource = new DataSource({ type: "postgres", url, entities: [Ledger], poolSize: loops })
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  process.on("message", (message: ToWriter) => {
    if (message === "lap") remaining = Array.from({ length: loops }, () => 2)
    if (message === "stop") isStopped = true
  })
  // Whoever started this is gone.
  process.once("disconnect", () => process.exit())
  send("ready")
  await Promise.all(Array.from({ length: loops }, (_, loop) => write(dataSource, loop)))
  await dataSource.destroy()
  await maintenance.uninstall()
  process.disconnect()
}

void main(process.argv[2] as string)
