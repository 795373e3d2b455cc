// A separate process with many instances, which reports to its parent when each instance knows a new mode.
import "reflect-metadata"
import { DataSource } from "typeorm"
import { installMaintenance } from "../src"

async function main(url: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const dataSource = new DataSource({ type: "postgres", url, poolSize: 1 })
    const maintenance = installMaintenance(dataSource)
    // The monotonic clock of the machine, which all processes share.
    maintenance.on("change", ({ mode }) =>
      process.send?.({ mode, at: Number(process.hrtime.bigint()) / 1000 }),
    )
    await dataSource.initialize()
  }
  process.send?.("ready")
}

process.once("disconnect", () => process.exit())
void main(process.argv[2] as string, Number(process.argv[3]))
