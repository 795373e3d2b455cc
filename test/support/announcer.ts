// A separate process that announces a window and destroys its DataSource before the window begins. It reports
// the outcome, and then has nothing left to do.
import "reflect-metadata"
import { installMaintenance } from "../../src"
import { newDataSource } from "./data-source"

async function main(url: string): Promise<void> {
  const dataSource = newDataSource(url)
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  const announced = new Promise((resolve) => maintenance.on("change", resolve))
  const entered = maintenance.enter("concurrent", { as: "alice", startsInMs: 3_600_000 }).then(
    () => "done",
    (error: Error) => error.constructor.name,
  )
  await announced
  await dataSource.destroy()
  process.send?.(await entered)
  process.disconnect()
}

void main(process.argv[2] as string)
