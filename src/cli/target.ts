import { Client, type ClientConfig } from "pg"
import { type ConnectOptions, maintenanceOf, MaintenanceSetupError } from "../index"
import { type DataSourceLike, loadDataSource } from "./data-source-file"
import { systemUser } from "./identity"
import { InputFault } from "./input-fault"

/** Options that say which database to use. */
export interface TargetOptions {
  readonly dataSource?: string | undefined
  readonly schema?: string | undefined
}

/** The database that a command works on. */
export interface Target {
  /** The options by which it was found. */
  readonly options: TargetOptions
  /** Source of the address, such as `DATABASE_URL`. */
  readonly from: string
  /** The database and its server, without secrets. */
  readonly address: string
  /** Remark on the choice, for the user; undefined if there is none. */
  readonly remark: string | undefined
  readonly connectOptions: Pick<ConnectOptions, "schema" | "emergencyUsers" | "showsQueries">
  /** Makes a client that is not connected. */
  createClient(settings?: object): Client
}

/** Longest time to wait for a connection, in milliseconds. */
const connectWithinMs = 10_000

/** Finds the database: `-d`, or else `DATABASE_URL`, or else libpq's variables. Throws InputFault if none is named. */
export async function findTarget(options: TargetOptions): Promise<Target> {
  const { dataSource, schema } = options
  const found = dataSource === undefined ? fromEnvironment() : await fromDataSource(dataSource)
  const { settings, from, remark, connectOptions } = found
  const createClient = (more: object = {}) =>
    new Client({
      application_name: "typeorm-maintenance",
      // As in libpq. pg takes USER from the environment, which may lack it.
      ...(process.env["PGUSER"] === undefined && { user: systemUser() }),
      connectionTimeoutMillis: connectWithinMs,
      ...settings,
      ...more,
    })
  const { database, host, port, user } = firstClient(createClient, from)
  const address = `${database ?? ""} on ${host}:${port} as ${user ?? ""}`
  const named = schema === undefined ? {} : { schema }
  return {
    options: { dataSource, schema },
    from,
    address,
    remark,
    connectOptions: { ...connectOptions, ...named },
    createClient,
  }
}

/** A client, to see what it would connect to. Throws InputFault for settings that pg does not take. */
function firstClient(createClient: () => Client, from: string): Client {
  try {
    const client = createClient()
    if (!client.database?.includes("@")) return client
  } catch (cause) {
    // The message may show a part of the password if it is about the address, and only then.
    const isAddress = cause instanceof URIError || (cause as NodeJS.ErrnoException).code === "ERR_INVALID_URL"
    throw isAddress
      ? unreadableAddress(from, cause)
      : new InputFault(`The settings in ${from} are not valid: ${(cause as Error).message}.`, { cause })
  }
  throw unreadableAddress(from)
}

function unreadableAddress(from: string, cause?: unknown): InputFault {
  return new InputFault(
    `The address in ${from} is not valid. Percent-encode the special characters of the password.`,
    { cause },
  )
}

interface Found extends Pick<Target, "from" | "remark" | "connectOptions"> {
  readonly settings: ClientConfig
}

function fromEnvironment(): Found {
  const { DATABASE_URL: url } = process.env
  const common = { remark: undefined, connectOptions: {} }
  if (url) return { ...common, settings: settingsOf(url), from: "DATABASE_URL" }
  const variables = ["PGHOST", "PGDATABASE", "PGUSER", "PGPORT"].filter((name) => process.env[name])
  if (variables.length > 0) return { ...common, settings: {}, from: variables.join(", ") }
  throw new InputFault(
    "No database is named. Name your DataSource with -d path/to/data-source.js, or set DATABASE_URL or PGHOST and PGDATABASE.",
  )
}

function settingsOf(url: string): ClientConfig {
  if (/^postgres(ql)?:\/\//.test(url)) return { connectionString: url }
  throw new InputFault(
    "DATABASE_URL is not a PostgreSQL URL. Write it like postgres://user:password@host:5432/database.",
  )
}

async function fromDataSource(path: string): Promise<Found> {
  const dataSource = await loadDataSource(path)
  const { type } = dataSource.options
  if (type !== "postgres")
    throw new InputFault(
      `The DataSource of ${path} is of type "${type}". Maintenance mode supports only "postgres".`,
    )
  const connectOptions = optionsOf(dataSource)
  return {
    settings: settingsOfDataSource(dataSource),
    from: path,
    remark: connectOptions
      ? undefined
      : `${path} does not install the plugin, so its options are not known. The schema is "maintenance" unless --schema names another.`,
    connectOptions: connectOptions ?? {},
  }
}

/** The settings of a connection, as TypeORM (1.1) passes them to pg. */
function settingsOfDataSource({ options }: DataSourceLike): ClientConfig {
  const { replication, extra, connectTimeoutMS, applicationName } = options as {
    replication?: { master: Record<string, unknown> }
    extra?: object
    connectTimeoutMS?: number
    applicationName?: string
  }
  const { url, host, port, username, password, database, ssl } = {
    ...options,
    ...replication?.master,
  } as Record<string, unknown>
  const settings = {
    connectionString: url,
    host,
    port,
    user: username,
    password,
    database,
    ssl,
    connectionTimeoutMillis: connectTimeoutMS,
    application_name: applicationName,
    ...extra,
  }
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
}

/** The options of the plugin in a DataSource; undefined if it is not installed. */
function optionsOf(dataSource: DataSourceLike): Target["connectOptions"] | undefined {
  try {
    return maintenanceOf(dataSource as never).connectOptions
  } catch (error) {
    if (error instanceof MaintenanceSetupError) return undefined
    throw error
  }
}
