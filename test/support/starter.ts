// A separate process that installs the plugin, reports the mode, and then has nothing left to do.
import "reflect-metadata"
import { DataSource } from "typeorm"
import { installMaintenance } from "../../src"

async function main(url: string): Promise<void> {
  const dataSource = new DataSource({ type: "postgres", url, extra: { allowExitOnIdle: true } })
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  process.send?.(await maintenance.status())
  process.disconnect()
}

void main(process.argv[2] as string)
