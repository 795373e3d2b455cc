import { DataSource, type DataSourceOptions } from "typeorm"
import { installMaintenance, type Maintenance, type MaintenanceOptions } from "../../src"
import { entities } from "./entities"

/** Those that a test has not closed yet. */
export const openDataSources = new Set<DataSource>()

type PostgresOptions = Extract<DataSourceOptions, { type: "postgres" }>

/** An initialized DataSource without the plugin, closed at the end. */
export async function withPlainDataSource<T>(
  url: string,
  options: Partial<PostgresOptions>,
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const dataSource = newDataSource(url, options)
  await initialize(dataSource)
  try {
    return await work(dataSource)
  } finally {
    await destroy(dataSource)
  }
}

/** A DataSource that is not initialized yet. */
export function newDataSource(url: string, options: Partial<PostgresOptions> = {}): DataSource {
  return new DataSource({ type: "postgres", url, entities, poolSize: 4, ...options })
}

export async function initialize(dataSource: DataSource): Promise<void> {
  await dataSource.initialize()
  openDataSources.add(dataSource)
}

export async function destroy(dataSource: DataSource): Promise<void> {
  openDataSources.delete(dataSource)
  if (dataSource.isInitialized) await dataSource.destroy()
}

/** What a test with the plugin works on. */
export interface Installed {
  readonly dataSource: DataSource
  readonly maintenance: Maintenance
}

/** An initialized DataSource with the plugin, closed at the end. */
export async function withMaintenance<T>(
  url: string,
  { plugin = {}, ...options }: Partial<PostgresOptions> & { plugin?: MaintenanceOptions },
  work: (installed: Installed) => Promise<T>,
): Promise<T> {
  const dataSource = newDataSource(url, options)
  const maintenance = installMaintenance(dataSource, { emergencyUsers: ["break-glass"], ...plugin })
  await initialize(dataSource)
  try {
    return await work({ dataSource, maintenance })
  } finally {
    await destroy(dataSource)
    await maintenance.uninstall()
  }
}
