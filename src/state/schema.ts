import { createHash } from "node:crypto"
import { MaintenanceSetupError } from "../errors"
import { checkSchemaName } from "../options"
import { schemaSteps } from "./schema-steps"
import { translateStateError } from "./refusal"

/** As much of a `pg` client as installing needs. */
export interface SqlRunner {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/** The newest step that this version knows. */
export const schemaVersion = schemaSteps.length

/** What of an installed schema matters to this version. */
interface InstalledSchema {
  readonly version: number
  /** Whether a later version changed something that this one relies on. */
  readonly isBreaking: boolean
}

/**
 * The keys of the advisory locks, made from the schema's name so that installations in one database, and the application's
 * own locks, do not meet: the gate (until a transaction ends), the hold (until it is given back), and the presence of an
 * instance (as long as its watch is connected).
 */
export function lockKeys(schema: string): { gate: number; hold: number; presence: number } {
  const hash = createHash("sha256").update(`typeorm-maintenance-mode:${schema}`).digest()
  const gate = (hash.readUInt32BE() & 0x7ffffffe) >>> 0
  return { gate, hold: gate + 1, presence: hash.readUInt32BE(4) & 0x7fffffff }
}

/** The name of the channel on which changes of the state are announced. */
export function channelOf(schema: string): string {
  return `typeorm_maintenance_${schema}`
}

/** The SQL of one step for a schema; it is to be run in a transaction. */
function renderStep(schema: string, { version, sql }: { version: number; sql: string }): string {
  const { gate, hold, presence } = lockKeys(schema)
  const start =
    version > 1
      ? ""
      : `create schema if not exists "${schema}";\n` +
        `comment on schema "${schema}" is 'The maintenance mode of this database; belongs to typeorm-maintenance-mode.';\n` +
        `create table if not exists "${schema}".schema_version (version integer primary key, is_breaking boolean not null, ` +
        `installed_at timestamptz not null default now());\n` +
        `comment on table "${schema}".schema_version is 'The steps that were run, and whether older versions can live with each.';\n`
  return (
    start +
    sql
      .replaceAll("{schema}", `"${schema}"`)
      .replaceAll("{gate}", String(gate))
      .replaceAll("{hold}", String(hold))
      .replaceAll("{presence}", String(presence))
      .replaceAll("{channel}", `'${channelOf(schema)}'`) +
    `\ninsert into "${schema}".schema_version (version, is_breaking) values (${version}, false) on conflict do nothing;\n`
  )
}

/** The SQL that brings a schema from a version to the newest. */
export function upgradeSql(schema: string, fromVersion: number): string {
  return schemaSteps
    .slice(fromVersion)
    .map((step) => renderStep(schema, step))
    .join("\n")
}

/**
 * The whole schema as a script for a DBA, for applications whose role may not create objects (`migrate: false`).
 * `role` is the role that the application runs as; it gets what it needs and no more. Throws MaintenanceSetupError
 * for an invalid schema name.
 */
export function maintenanceSchemaSql(options: { schema?: string; role?: string } = {}): string {
  for (const name of Object.keys(options ?? {})) {
    if (name !== "schema" && name !== "role") {
      throw new MaintenanceSetupError(`Unknown option "${name}"; known are schema, role.`)
    }
  }
  const { role } = options ?? {}
  if (role !== undefined && (typeof role !== "string" || role === "" || role.includes("\0"))) {
    throw new MaintenanceSetupError(`The option role must name a role, not ${JSON.stringify(role)}.`)
  }
  const schema = checkSchemaName(options.schema)
  return `begin;\n\n${upgradeSql(schema, 0)}${options.role === undefined ? "" : grants(schema, options.role)}\ncommit;\n`
}

/** The privileges that the role of a running application needs. */
function grants(schema: string, role: string): string {
  const grantee = `"${role.replaceAll('"', '""')}"`
  return (
    `\nrevoke execute on all functions in schema "${schema}" from public;\n` +
    `grant usage on schema "${schema}" to ${grantee};\n` +
    `grant select on "${schema}".schema_version, "${schema}".state, "${schema}".stamp to ${grantee};\n` +
    `grant execute on all functions in schema "${schema}" to ${grantee};\n`
  )
}

/** The installed version, undefined if there is none; throws MaintenanceSetupError if it is too new or not readable. */
export async function installedVersion(runner: SqlRunner, schema: string): Promise<number | undefined> {
  const installed = await readInstalled(runner, schema)
  if (!installed) return undefined
  if (installed.version > schemaVersion && installed.isBreaking) {
    throw new MaintenanceSetupError(
      `The schema "${schema}" is at version ${installed.version}, and this version of typeorm-maintenance-mode ` +
        `understands ${schemaVersion}: upgrade the package in this application.`,
    )
  }
  return installed.version
}

async function readInstalled(runner: SqlRunner, schema: string): Promise<InstalledSchema | undefined> {
  try {
    // Not to_regclass(): it may answer from a cache of this session that does not know yet what others have just made.
    const exists = await runner.query(
      `select exists (select from pg_class join pg_namespace n on n.oid = relnamespace
         where relname = 'schema_version' and nspname = $1) as exists`,
      [schema],
    )
    if (exists.rows[0]?.["exists"] !== true) return undefined
    const { rows } = await runner.query(
      `select max(version) as version, coalesce(bool_or(is_breaking) filter (where version > $1), false) as is_breaking
       from "${schema}".schema_version`,
      [schemaVersion],
    )
    return { version: Number(rows[0]?.["version"] ?? 0), isBreaking: rows[0]?.["is_breaking"] === true }
  } catch (error) {
    throw translateStateError(error, schema)
  }
}

/** The functions that the steps make. */
const functionNames = [
  ...new Set(
    schemaSteps.flatMap(({ sql }) =>
      [...sql.matchAll(/create or replace function \{schema\}\.(\w+)/g)].map(([, name]) => name),
    ),
  ),
]

/** Whether nothing of an installed schema was lost: its functions are there, and the state has its row and its stamp. */
async function isComplete(runner: SqlRunner, schema: string): Promise<boolean> {
  const functions = await runner.query(
    `select count(distinct proname)::int as count from pg_proc join pg_namespace n on n.oid = pronamespace
     where nspname = $1 and proname = any($2)`,
    [schema, functionNames],
  )
  if (functions.rows[0]?.["count"] !== functionNames.length) return false
  const state = await runner
    .query(`select from "${schema}".status() where stamp = pg_sequence_last_value('"${schema}".stamp')::text`)
    .catch(() => ({ rows: [] }))
  return state.rows.length === 1
}

/**
 * Creates or upgrades the schema, or puts back what of it was lost. Safe from many processes at once: one works, the
 * others wait and find it done. Throws MaintenanceSetupError if the role may not do it.
 */
export async function installSchema(runner: SqlRunner, schema: string): Promise<void> {
  const version = await installedVersion(runner, schema)
  if (version !== undefined && version >= schemaVersion && (await isComplete(runner, schema))) return
  await runner.query("begin isolation level read committed")
  try {
    await runner.query("set local lock_timeout = 0")
    await runner.query("select pg_advisory_xact_lock($1::bigint)", [lockKeys(schema).gate])
    const currentVersion = (await installedVersion(runner, schema)) ?? 0
    if (currentVersion < schemaVersion) await runner.query(upgradeSql(schema, currentVersion))
    else if (!(await isComplete(runner, schema))) await runner.query(upgradeSql(schema, 0))
    await runner.query("commit")
  } catch (error) {
    await runner.query("rollback").catch(() => undefined)
    throw installationFault(error, schema)
  }
}

function installationFault(error: unknown, schema: string): unknown {
  const { code, message } = error as { code?: string; message: string }
  if (error instanceof MaintenanceSetupError || code === undefined || !/^(?:42|2B|3F)/.test(code))
    return error
  return new MaintenanceSetupError(
    code === "42501"
      ? `The role may not create the schema "${schema}" (${message}). Grant it CREATE on the database, or ` +
          `set migrate: false and have a DBA run the SQL of maintenanceSchemaSql({ schema: "${schema}", role }).`
      : `The schema "${schema}" could not be installed (${message}). If it belongs to something else, name another one ` +
          `in the option schema.`,
    { cause: error },
  )
}
