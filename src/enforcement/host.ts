import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import type { Client, Pool } from "pg"
import type { DataSource } from "typeorm"
import type { PostgresDriver } from "typeorm/driver/postgres/PostgresDriver.js"
import { MaintenanceSetupError } from "../errors"
import type { ClientFactory } from "../state/control-connection"
import type { QueryClass, WireClient } from "../wire/protocol"

/** The supported range of TypeORM, in words. */
const supportedTypeorm = "0.3.20 up to, but not including, 2"

/** The result of the driver's methods that obtain a connection. */
export type Obtained = [client: WireClient, release: (error?: Error) => void]

/** The parts of TypeORM's PostgreSQL driver that the plugin relies on (0.3.20 to 1.1). */
export interface HostDriver extends Omit<
  PostgresDriver,
  "obtainMasterConnection" | "obtainSlaveConnection" | "master" | "slaves"
> {
  master: Pool | undefined
  slaves: Pool[]
  postgres: { Query: QueryClass; Client: new (config: object) => Client }
  obtainMasterConnection(): Promise<Obtained>
  obtainSlaveConnection(): Promise<Obtained>
}

/**
 * The driver of a DataSource in which the plugin can be installed. Throws MaintenanceSetupError for any
 * other.
 */
export function hostDriver(dataSource: DataSource): HostDriver {
  const type = dataSource?.options?.type
  if (type === undefined || dataSource.driver === undefined) {
    throw new MaintenanceSetupError("installMaintenance() needs a TypeORM DataSource as its first argument.")
  }
  if (type !== "postgres") {
    throw new MaintenanceSetupError(
      `Maintenance mode supports only "postgres", but the DataSource is of type "${type}".`,
    )
  }
  checkTypeormVersion(typeormVersion())
  const driver = dataSource.driver as unknown as HostDriver
  const methods = [
    "connect",
    "afterConnect",
    "disconnect",
    "createQueryRunner",
    "obtainMasterConnection",
    "obtainSlaveConnection",
  ] as const
  const missing = methods.find((name) => typeof driver[name] !== "function")
  if (missing)
    throw unknownHost(
      `the PostgreSQL driver of ${typeormVersion() ?? "an unknown version"} has no ${missing}()`,
    )
  const prototype = driver.postgres?.Query?.prototype as { prepare?: unknown; _getRows?: unknown } | undefined
  if (!prototype?.prepare || !prototype._getRows) {
    throw new MaintenanceSetupError(
      "The DataSource does not use the JavaScript client of pg 8.11 or later. Install it; pg-native is not supported.",
    )
  }
  return driver
}

/** Throws MaintenanceSetupError for a version of TypeORM outside the range. An unknown version passes. */
export function checkTypeormVersion(version: string | undefined): void {
  const [major = 0, minor = 0, patch = 0] = (version ?? "1.0.0").split(".").map(Number.parseFloat)
  const isSupported = major === 1 || (major === 0 && minor === 3 && patch >= 20)
  if (!isSupported) throw unknownHost(`its version is ${version}`)
}

function unknownHost(what: string): MaintenanceSetupError {
  return new MaintenanceSetupError(
    `This TypeORM is not supported: ${what}. Install TypeORM ${supportedTypeorm}.`,
  )
}

/**
 * Reads the version beside the main file, because TypeORM's exports omit its package.json. Undefined in a
 * bundle.
 */
function typeormVersion(): string | undefined {
  try {
    return JSON.parse(readFileSync(join(dirname(require.resolve("typeorm")), "package.json"), "utf8")).version
  } catch {
    return undefined
  }
}

/** The clients of a pool, idle or in use. pg-pool (3) keeps them in a private list. */
export function clientsOf(pool: Pool): readonly WireClient[] {
  return (pool as unknown as { readonly _clients?: readonly WireClient[] })._clients ?? []
}

/**
 * Creates clients with the settings of the DataSource's pool. Throws MaintenanceSetupError while there is
 * none.
 */
export function clientFactory(driver: HostDriver): ClientFactory {
  return (settings) => {
    if (!driver.master)
      throw new MaintenanceSetupError("The DataSource is not initialized. Call initialize() first.")
    // Copied by descriptors, because the pool hides its password from enumeration.
    const config = Object.defineProperties({}, Object.getOwnPropertyDescriptors(driver.master.options))
    return new driver.postgres.Client(Object.assign(config, settings)) as ReturnType<ClientFactory>
  }
}

/** Returns whether a table, by its path, is one of TypeORM's own: without them no migration can run. */
export function ownTables({ options, metadataTableName }: DataSource): (table: string) => boolean {
  const { migrationsTableName = "migrations" } = options
  const tables = new Set([migrationsTableName, metadataTableName])
  return (table) => tables.has(table.split(".").at(-1) as string)
}
