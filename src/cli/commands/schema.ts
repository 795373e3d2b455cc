import type { Command } from "commander"
import {
  MaintenanceError,
  maintenanceSchemaSql,
  MaintenanceSetupError,
  StateUnavailableError,
} from "../../index"
import { print, printJson } from "../screen"
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
      "\nExample:\n  $ npx typeorm-maintenance schema --role shop | psql -v ON_ERROR_STOP=1",
    )
    .action(async (options: SchemaCommandOptions) => {
      if (!options.apply) {
        const named = options.dataSource === undefined ? options : (await findTarget(options)).connectOptions
        const sql = maintenanceSchemaSql(scopeOf(named.schema, options.role))
        return options.json ? printJson({ sql }) : print(sql)
      }
      const target = await findTarget(options)
      const { schema } = target.connectOptions
      if (!options.json) sayTarget(target)
      const client = target.createClient()
      client.on("error", () => undefined)
      try {
        await client.connect().catch((cause: unknown) => {
          throw new StateUnavailableError(`Could not connect to the database: ${(cause as Error).message}.`, {
            cause,
          })
        })
        await client.query(maintenanceSchemaSql(scopeOf(schema, options.role)))
      } catch (cause) {
        if (cause instanceof MaintenanceError) throw cause
        const { code, message } = cause as { code?: string; message: string }
        const remedy =
          code === "42704"
            ? "Create the role first, or name another with --role."
            : "Run this as a role that may create objects."
        throw new MaintenanceSetupError(`The schema was not installed: ${message}. ${remedy}`, { cause })
      } finally {
        await client.end()
      }
      if (options.json) printJson({ isInstalled: true })
      else print("The schema is installed and up to date.")
    })
}

function scopeOf(schema: string | undefined, role: string | undefined): { schema?: string; role?: string } {
  return { ...(schema !== undefined && { schema }), ...(role !== undefined && { role }) }
}
