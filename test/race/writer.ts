// A separate process that writes into one table through many doors, until it is told to stop.
import "reflect-metadata"
import { DataSource, EntitySchema } from "typeorm"
import { installMaintenance, MaintenanceError } from "../../src"
import { Loops } from "./loops"

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
const ways = Object.entries(doors)

async function main(url: string): Promise<void> {
  const dataSource = new DataSource({ type: "postgres", url, entities: [Ledger], poolSize: loops })
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  const tried = Array.from({ length: loops }, (_, loop) => loop)
  await new Loops(loops, async (loop) => {
    const [door, write] = ways[(tried[loop] as number) % ways.length] as (typeof ways)[number]
    tried[loop] = (tried[loop] as number) + 1
    try {
      await write(dataSource)
      return { door, outcome: "done" }
    } catch (error) {
      const { driverError } = error as { driverError?: { code?: string } }
      if (error instanceof MaintenanceError || driverError?.code === "40001")
        return { door, outcome: (error as Error).constructor.name }
      throw error
    }
  }).run()
  await dataSource.destroy()
  await maintenance.uninstall()
  process.disconnect()
}

void main(process.argv[2] as string)
