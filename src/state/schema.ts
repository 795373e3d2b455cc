import { createHash } from "node:crypto"
import { MaintenanceSetupError } from "../errors"
import { checkSchemaName } from "../options"
import { installCommand } from "./install-command"
import { ownSqlState, sqlState } from "../sqlstate"
import { schemaSteps } from "./schema-steps"
import { translateStateError } from "./translate"

/** The part of a `pg` client that installing needs. */
export interface SqlRunner {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/** The SQL of one version. */
export type SchemaStep = (typeof schemaSteps)[number]

/** The newest step that this version of the package knows. */
export const schemaVersion = schemaSteps.length

/**
 * Returns the keys of the advisory locks. They derive from the schema's name, to avoid collisions between
 * installations in one database and with the application's own locks.
 *
 * - `gate`: held until a transaction ends.
 * - `hold`: held until it is released.
 * - `presence`: held by an instance while its watch is connected.
 */
export function lockKeys(schema: string): { gate: number; hold: number; presence: number } {
  const hash = createHash("sha256").update(`typeorm-maintenance-mode:${schema}`).digest()
  const gate = (hash.readUInt32BE() & 0x7ffffffe) >>> 0
  return { gate, hold: gate + 1, presence: hash.readUInt32BE(4) & 0x7fffffff }
}

/** Returns the name of the channel on which changes of the state are announced. */
export function channelOf(schema: string): string {
  return `typeorm_maintenance_${schema}`
}

/** Returns the SQL of one version for a schema, to be run in a transaction. */
function renderStep(schema: string, { version, sql }: SchemaStep): string {
  const { gate, hold, presence } = lockKeys(schema)
  return (
    (version > 1 ? "" : foundation(schema)) +
    sql
      .replaceAll("{schema}", `"${schema}"`)
      .replaceAll("{gate}", String(gate))
      .replaceAll("{hold}", String(hold))
      .replaceAll("{presence}", String(presence))
      .replaceAll("{channel}", `'${channelOf(schema)}'`) +
    `\ninsert into "${schema}".schema_version (version, is_breaking) values (${version}, false) on conflict do nothing;\n`
  )
}

/** End of the comment that marks a schema as this package's. */
const ownership = "belongs to typeorm-maintenance-mode."
const oidOf = (schema: string) => `(select oid from pg_catalog.pg_namespace where nspname = '${schema}')`

/**
 * Returns an SQL condition: the schema has our table of installed steps. It looks for a column, because an
 * application may have a table of that name.
 */
const hasVersions = (schema: string) =>
  `exists (select from pg_catalog.pg_attribute where attname = 'is_breaking' and attrelid =
    (select oid from pg_catalog.pg_class where relname = 'schema_version' and relnamespace = ${oidOf(schema)}))`

/**
 * Returns the SQL that creates the schema, or adopts an empty one or our own. It raises MM010 for any other.
 */
function foundation(schema: string): string {
  return `do $foundation$
declare
  found oid := ${oidOf(schema)};
  note text := pg_catalog.obj_description(found, 'pg_namespace');
begin
  if found is null then
    -- Without "if not exists", which requires the privilege to create schemas even where the schema exists.
    create schema "${schema}";
  elsif not coalesce(note like '%${ownership}', false) and not ${hasVersions(schema)}
    -- Every object in a schema depends on it.
    and exists (select from pg_catalog.pg_depend where refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and refobjid = found and deptype = 'n')
  then
    raise exception using errcode = '${ownSqlState.foreignSchema}', message = 'the schema "${schema}" holds objects that do not belong to typeorm-maintenance-mode';
  end if;
  if note is null and pg_catalog.pg_has_role((select nspowner from pg_catalog.pg_namespace where nspname = '${schema}'), 'usage') then
    comment on schema "${schema}" is 'The maintenance mode of this database; ${ownership}';
  end if;
end $foundation$;
create table if not exists "${schema}".schema_version (version integer primary key, is_breaking boolean not null, installed_at timestamptz not null default now(), fingerprint jsonb, server_version integer);
comment on table "${schema}".schema_version is 'The schema versions that were installed. is_breaking tells whether older versions of the package cannot work with it. fingerprint is that of the objects when they were first installed, as this version of PostgreSQL (server_version_num) prints them.';
`
}

/**
 * Returns the SQL that upgrades a schema from a version to the newest step. The steps default to those of
 * this package. Afterwards, only the owner may call its functions without a grant.
 */
export function upgradeSql(
  schema: string,
  fromVersion: number,
  steps: readonly SchemaStep[] = schemaSteps,
): string {
  const texts = steps.slice(fromVersion).map((step) => renderStep(schema, step))
  return [...texts, closing(schema)].join("\n")
}

/**
 * Returns the SQL that reserves the functions for their owner and the grantees. It leaves functions of other
 * owners alone.
 */
function closing(schema: string): string {
  return `do $closing$
declare
  own regprocedure;
begin
  for own in
    select oid from pg_catalog.pg_proc
    where pronamespace = ${oidOf(schema)} and pg_catalog.pg_has_role(proowner, 'usage')
  loop
    execute pg_catalog.format('revoke execute on routine %s from public', own);
  end loop;
end $closing$;
update "${schema}".schema_version set fingerprint = "${schema}".fingerprint(), server_version = current_setting('server_version_num')::integer
where version = (select max(version) from "${schema}".schema_version) and server_version is distinct from current_setting('server_version_num')::integer;
`
}

/**
 * Returns the whole schema as a script for a DBA, for applications whose role may not create objects
 * (`migrate: false`). `role` is the role of the application; the script grants it the required privileges and
 * no others. Throws MaintenanceSetupError for an invalid schema name.
 */
export function maintenanceSchemaSql(options: { schema?: string; role?: string } = {}): string {
  for (const name of Object.keys(options ?? {})) {
    if (name !== "schema" && name !== "role") {
      throw new MaintenanceSetupError(`Unknown option "${name}". Known options are schema, role.`)
    }
  }
  const { role } = options ?? {}
  if (role !== undefined && (typeof role !== "string" || role === "" || role.includes("\0"))) {
    throw new MaintenanceSetupError(`The option role must name a role, not ${JSON.stringify(role)}.`)
  }
  const schema = checkSchemaName(options.schema)
  return `begin;\n\n${upgradeSql(schema, 0)}${options.role === undefined ? "" : grants(schema, options.role)}\ncommit;\n`
}

/** Returns the grants that the role of a running application needs. */
function grants(schema: string, role: string): string {
  const grantee = `"${role.replaceAll('"', '""')}"`
  return (
    `\ngrant usage on schema "${schema}" to ${grantee};\n` +
    `grant select on "${schema}".schema_version, "${schema}".state, "${schema}".stamp to ${grantee};\n` +
    `grant execute on all functions in schema "${schema}" to ${grantee};\n`
  )
}

/** The installed part of the schema, and the version of the server. */
export interface SchemaSight {
  /** The server's `server_version_num`. */
  readonly serverVersion: number
  /** Undefined if the schema is not installed. */
  readonly version: number | undefined
  /**
   * Whether nothing is missing: all functions exist and need a grant, and the state has its row and its
   * stamp.
   */
  readonly isComplete: boolean
}

/**
 * Reads how much of the schema is installed. Throws MaintenanceSetupError if it is too new for these steps,
 * or not readable.
 */
export async function lookAtSchema(
  runner: SqlRunner,
  schema: string,
  steps: readonly SchemaStep[] = schemaSteps,
): Promise<SchemaSight> {
  const functionNames = functionNamesOf(steps)
  const catalog = await readJson<CatalogRow>(runner, catalogQuery(schema))
  const { server_version: serverVersion } = catalog
  if (!catalog.is_installed) return { serverVersion, version: undefined, isComplete: false }
  const found = new Set(catalog.function_names?.split(" "))
  const hasFunctions = functionNames.every((name) => found.has(name))
  const isOpen = catalog.open_names?.split(" ").some((name) => functionNames.includes(name)) ?? false
  const contents = await readJson<ContentsRow>(runner, contentsQuery(schema, hasFunctions), [
    steps.length,
  ]).catch((error: unknown) => {
    throw translateStateError(error, schema)
  })
  const version = contents.version ?? 0
  if (version > steps.length && contents.is_breaking) {
    throw new MaintenanceSetupError(
      `The schema "${schema}" is at version ${version}, but this version of typeorm-maintenance-mode supports only ` +
        `versions up to ${steps.length}. Upgrade the package in this application.`,
    )
  }
  return { serverVersion, version, isComplete: hasFunctions && contents.is_sound && !isOpen }
}

interface CatalogRow {
  readonly server_version: number
  readonly is_installed: boolean
  readonly function_names: string | null
  readonly open_names: string | null
}

interface ContentsRow {
  readonly version: number | null
  readonly is_breaking: boolean
  readonly is_sound: boolean
}

/** Returns the names of the functions that the steps create. */
function functionNamesOf(steps: readonly SchemaStep[]): string[] {
  const named = /create or replace function \{schema\}\.(\w+)/g
  const names = steps.flatMap(({ sql }) => [...sql.matchAll(named)].map(([, name]) => name as string))
  return [...new Set(names)]
}

/**
 * Reads the catalog, which works with or without the schema. The query is simple, because planning takes long
 * in a new session. It avoids to_regclass(), which may answer from a cache that does not contain the newest
 * objects yet. `open_names` are functions that everyone may execute (`=X` in the privileges, the default) and
 * that this role may restrict.
 */
const catalogQuery = (schema: string) => `
  select current_setting('server_version_num')::integer as server_version, ${hasVersions(schema)} as is_installed,
    string_agg(proname, ' ') as function_names,
    string_agg(proname, ' ') filter (
      where pg_has_role(proowner, 'usage') and (proacl is null or proacl::text ~ '[{,]=X')
    ) as open_names
  from pg_catalog.pg_proc where pronamespace = ${oidOf(schema)}`

/** Reads the contents of an installed schema. */
const contentsQuery = (schema: string, hasFunctions: boolean) => `
  select max(version) as version, coalesce(bool_or(is_breaking) filter (where version > $1), false) as is_breaking,
    ${hasFunctions ? `(select count(*) = 1 from "${schema}".state where stamp = pg_sequence_last_value('"${schema}".stamp'))` : "false"} as is_sound
  from "${schema}".schema_version`

/**
 * Returns the only row of a query. The row travels as JSON text, which neither the application's parsers nor
 * binary values affect.
 */
async function readJson<Row>(runner: SqlRunner, text: string, values: unknown[] = []): Promise<Row> {
  const { rows } = await runner.query(`select row_to_json(found)::text as row from (${text}) found`, values)
  return JSON.parse(rows[0]?.["row"] as string) as Row
}

/**
 * Creates or upgrades the schema, or recreates missing parts of it. Safe from many processes at once: one
 * works, the others wait and find it done. The steps default to those of this package. Throws
 * MaintenanceSetupError if the role lacks the privileges, or the schema belongs to something else.
 */
export async function installSchema(
  runner: SqlRunner,
  schema: string,
  steps: readonly SchemaStep[] = schemaSteps,
): Promise<void> {
  await runner.query("begin isolation level read committed")
  try {
    await runner.query("set local lock_timeout = 0")
    await runner.query("select pg_advisory_xact_lock($1::bigint)", [lockKeys(schema).gate])
    const { version = 0, isComplete } = await lookAtSchema(runner, schema, steps)
    if (version < steps.length) await runner.query(upgradeSql(schema, version, steps))
    else if (!isComplete) await runner.query(upgradeSql(schema, 0, steps))
    await runner.query("commit")
  } catch (error) {
    await runner.query("rollback").catch(() => undefined)
    throw installationFault(error, schema)
  }
}

/** Whether there is nothing to install. */
export function isUpToDate({ version, isComplete }: SchemaSight): boolean {
  return version !== undefined && version >= schemaVersion && isComplete
}

/** Turns PostgreSQL's objection to an installation into an error. Returns any other error as it is. */
export function installationFault(error: unknown, schema: string): unknown {
  const { code, message } = error as { code?: string; message: string }
  if (code === ownSqlState.foreignSchema) {
    return new MaintenanceSetupError(
      `The schema "${schema}" was not installed, because it holds objects that do not belong to typeorm-maintenance-mode. ` +
        "In the option schema, name a schema that does not exist yet or is empty.",
      { cause: error },
    )
  }
  if (error instanceof MaintenanceSetupError || code === undefined || !/^(?:42|2B|3F)/.test(code))
    return error
  return new MaintenanceSetupError(
    code === sqlState.insufficientPrivilege
      ? `The schema "${schema}" was not installed: this role may not create it (${message}). Grant the role CREATE on ` +
          `the database, or set migrate: false and have a DBA run the SQL of maintenanceSchemaSql()${installCommand(schema)}`
      : `The schema "${schema}" could not be installed (${message}). If the schema belongs to another application, ` +
          "name a different one in the option schema.",
    { cause: error },
  )
}
