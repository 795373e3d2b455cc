import { DataSource, type DataSourceOptions } from "typeorm"
import { installMaintenance, type Maintenance, type MaintenanceOptions } from "../../src"
import type { TestDatabase } from "./database"
import { entities } from "./entities"
import { isKnown } from "./sockets"

type PostgresOptions = Extract<DataSourceOptions, { type: "postgres" }>

/** Runs work with an initialized DataSource without the plugin, and closes it. */
export async function withPlainDataSource<T>(
  url: string,
  options: Partial<PostgresOptions>,
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const dataSource = newDataSource(url, options)
  await dataSource.initialize()
  try {
    return await work(dataSource)
  } finally {
    await close(dataSource)
  }
}

/** Creates a DataSource that is not yet initialized. */
export function newDataSource(url: string, options: Partial<PostgresOptions> = {}): DataSource {
  return isKnown(new DataSource({ type: "postgres", url, entities, poolSize: 4, ...options }))
}

/** The fixture of a test with the plugin. */
export interface Installed {
  readonly dataSource: DataSource
  readonly maintenance: Maintenance
}

/** Runs work with an initialized DataSource with the plugin, and closes it. */
export async function withMaintenance<T>(
  url: string,
  { plugin = {}, ...options }: Partial<PostgresOptions> & { plugin?: MaintenanceOptions },
  work: (installed: Installed) => Promise<T>,
): Promise<T> {
  const dataSource = newDataSource(url, options)
  const maintenance = installMaintenance(dataSource, { emergencyUsers: ["break-glass"], ...plugin })
  await dataSource.initialize()
  try {
    return await work({ dataSource, maintenance })
  } finally {
    await close(dataSource)
    await maintenance.uninstall()
  }
}

/** An initialized DataSource with the plugin, for the tests of a `describe` block. */
export function useMaintenance(
  database: { readonly current: TestDatabase },
  { plugin = {}, ...options }: Partial<PostgresOptions> & { plugin?: MaintenanceOptions } = {},
): { readonly current: Installed } {
  let installed: Installed | undefined
  before(async () => {
    const dataSource = newDataSource(database.current.url, options)
    const maintenance = installMaintenance(dataSource, { emergencyUsers: ["break-glass"], ...plugin })
    await dataSource.initialize()
    installed = { dataSource, maintenance }
    database.current.beforeDrop(async () => {
      await close(dataSource)
      await maintenance.uninstall()
    })
  })
  return {
    get current() {
      if (!installed) throw new Error("There is a DataSource only while tests run.")
      return installed
    },
  }
}

async function close(dataSource: DataSource): Promise<void> {
  if (dataSource.isInitialized) await dataSource.destroy()
}
