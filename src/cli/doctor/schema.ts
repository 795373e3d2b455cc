import { maintenanceSchemaVersion } from "../../index"
import { nextCommand } from "../next-command"
import type { TargetOptions } from "../target"
import { type Check, type Examination, rowOf } from "./examination"
import type { Finding } from "./finding"

const check = "schema"

/** Examines whether the schema is installed, in which version, and whether it was changed since. */
export const checkSchema: Check = async ({ client, schema, options }) => {
  const { is_there: isThere, may_read: mayRead } = await rowOf<{
    is_there: boolean
    may_read: boolean | null
  }>(
    client,
    `select c.oid is not null as is_there, has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as may_read
     from (values (1)) as one
     left join pg_catalog.pg_namespace n on n.nspname = $1
     left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'schema_version'`,
    [schema],
  )
  if (!isThere) {
    return [
      {
        severity: "error",
        check,
        message: `The schema "${schema}" is not installed in this database.`,
        remedy: installing(options),
      },
    ]
  }
  if (!mayRead) return []
  const { version } = await rowOf<{ version: number | null }>(
    client,
    `select max(version) as version from "${schema}".schema_version`,
  )
  return [
    versionFinding({ schema, options }, version ?? 0),
    ...(version === maintenanceSchemaVersion ? await drift(client, { schema, options }) : []),
  ]
}

/** The schema, and the options by which it was found. */
type Scope = Pick<Examination, "schema" | "options">

/** Remedy for a schema that is missing or old. */
function installing(options: TargetOptions): string {
  return `To grant the application's role what it needs, add --role and its name. Run: ${nextCommand("schema --apply", options)}`
}

function versionFinding({ schema, options }: Scope, version: number): Finding {
  if (version === maintenanceSchemaVersion)
    return { severity: "ok", check, message: `"${schema}" is at version ${version}.` }
  return version < maintenanceSchemaVersion
    ? {
        severity: "error",
        check,
        message: `"${schema}" is at version ${version}; this package needs version ${maintenanceSchemaVersion}.`,
        remedy: installing(options),
      }
    : {
        severity: "warning",
        check,
        message: `"${schema}" is at version ${version}, newer than this package (${maintenanceSchemaVersion}).`,
        remedy: "Upgrade this package to the version that the applications use.",
      }
}

/** Whether objects of the schema were changed since the installation. */
async function drift(client: Examination["client"], { schema, options }: Scope): Promise<Finding[]> {
  const found = await rowOf<{ may_run: boolean; is_same_server: boolean | null }>(
    client,
    `select coalesce(has_function_privilege(to_regprocedure('"${schema}".fingerprint()'), 'execute'), false) as may_run,
       (select server_version = current_setting('server_version_num')::int
        from "${schema}".schema_version order by version desc limit 1) as is_same_server`,
  )
  // Another version of PostgreSQL prints the same function in other words.
  if (!found.may_run || !found.is_same_server) return []
  const { changed } = await rowOf<{ changed: string[] | null }>(
    client,
    `select array_agg(coalesce(was.key, now.key) order by coalesce(was.key, now.key)) as changed
     from (select fingerprint from "${schema}".schema_version order by version desc limit 1) as installed,
       lateral jsonb_each_text(installed.fingerprint) as was
       full join jsonb_each_text("${schema}".fingerprint()) as now on now.key = was.key
     where was.value is distinct from now.value`,
  )
  if (changed === null)
    return [{ severity: "ok", check: "drift", message: "The schema is as it was installed." }]
  const named = changed.slice(0, 5).join(", ") + (changed.length > 5 ? ` and ${changed.length - 5} more` : "")
  return [
    {
      severity: "error",
      check: "drift",
      message: `Objects of the schema "${schema}" differ from those that were installed: ${named}.`,
      remedy: `Find out who has changed them. Drop what was added. To restore functions and views, run: ${nextCommand("schema --apply", options)}`,
    },
  ]
}
