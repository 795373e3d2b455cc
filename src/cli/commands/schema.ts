import type { Command } from "commander"
import {
  type MaintenanceError,
  maintenanceSchemaSql,
  MaintenanceSetupError,
  StateUnavailableError,
} from "../../index"
import { print, printJson } from "../screen"
import { isPassing, sqlState, sqlStateOf } from "../server-error"
import { sayTarget } from "../session"
import { findTarget, type TargetOptions } from "../target"
import { connecting } from "../window-options"

interface SchemaCommandOptions extends TargetOptions {
  readonly role?: string
  readonly apply?: boolean
  readonly json?: boolean
}

/** Adds the command `schema`. */
export function addSchema(program: Command): void {
  connecting(program.command("schema"))
    .option("--role <name>", "role of the application, which gets the grants that it needs")
    .option("--apply", "run the SQL, as the role of this connection")
    .description("print the SQL that installs or upgrades the schema, or run it")
    .addHelpText(
      "after",
      "\nExample:\n  $ npx typeorm-maintenance-mode schema --role shop | psql -v ON_ERROR_STOP=1",
    )
    .action((options: SchemaCommandOptions) => (options.apply ? applySql(options) : printSql(options)))
}

async function printSql(options: SchemaCommandOptions): Promise<void> {
  const { schema } = options.dataSource === undefined ? options : (await findTarget(options)).connectOptions
  const sql = maintenanceSchemaSql(scopeOf(schema, options.role))
  if (options.json) printJson({ sql })
  else print(sql)
}

async function applySql(options: SchemaCommandOptions): Promise<void> {
  const target = await findTarget(options)
  const sql = maintenanceSchemaSql(scopeOf(target.connectOptions.schema, options.role))
  if (!options.json) sayTarget(target)
  const client = target.createClient()
  client.on("error", () => undefined)
  try {
    await client.connect().catch((cause: unknown) => {
      throw notConnected(cause)
    })
    await client.query(sql).catch((cause: unknown) => {
      throw notInstalled(cause)
    })
  } finally {
    await client.end()
  }
  if (options.json) printJson({ isInstalled: true })
  else print("The schema is installed and up to date.")
}

function notConnected(cause: unknown): MaintenanceError {
  const text = `Could not connect to the database: ${(cause as Error).message}.`
  return isPassing(cause)
    ? new StateUnavailableError(`${text} Retry later, or check the address.`, { cause })
    : new MaintenanceSetupError(text, { cause })
}

/** Remedies for what the server answers. */
const remedies: Readonly<Record<string, string>> = {
  [sqlState.insufficientPrivilege]: " Run this as a role that may create objects.",
  [sqlState.undefinedObject]: " Create the role first, or name another with --role.",
}

function notInstalled(cause: unknown): MaintenanceError {
  const { message } = cause as Error
  const state = sqlStateOf(cause)
  if (state === undefined)
    return new StateUnavailableError(
      `Could not determine whether the schema was installed: ${message}. Run the command again: what is installed already stays as it is.`,
      { cause },
    )
  const text = `The schema was not installed: ${message}.`
  return isPassing(cause)
    ? new StateUnavailableError(`${text} Retry later.`, { cause })
    : new MaintenanceSetupError(`${text}${remedies[state] ?? ""}`, { cause })
}

function scopeOf(schema: string | undefined, role: string | undefined): { schema?: string; role?: string } {
  return { ...(schema !== undefined && { schema }), ...(role !== undefined && { role }) }
}
