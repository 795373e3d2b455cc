import type { Outsider } from "./shop"

/** The contents of a database, as far as doors may change them. */
export interface Inventory {
  /** Rows, definitions, large objects, databases and prepared transactions, comparable between runs. */
  readonly things: string[]
  /** The sequences, which PostgreSQL never rolls back. */
  readonly sequences: string[]
  /**
   * The creating transaction of each row and catalog entry. It changes with every write, even an identical
   * one.
   */
  readonly versions: string[]
}

interface Entry {
  kind: string
  name: string
  value: string | null
}

const definitions = `
  with mine as (select * from pg_class where relnamespace = $1::regnamespace)
  select relkind::text as kind, relname as name, concat_ws(' ', relacl::text, obj_description(oid, 'pg_class'),
      case when relkind in ('v', 'm') then pg_get_viewdef(oid) end) as value
    from mine where relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all
  select 'column', relname || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
    from mine join pg_attribute on attrelid = mine.oid left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where attnum > 0 and not attisdropped and relkind in ('r', 'p', 'v', 'm', 'f')
  union all select 'partition', inhparent::regclass::text, inhrelid::regclass::text from pg_inherits
    join mine on mine.oid = inhparent where relkind = 'p'
  union all select 'index', relname, pg_get_indexdef(indexrelid) || indisvalid from pg_index join mine on mine.oid = indexrelid
  union all select 'constraint', conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = $1::regnamespace
  union all select 'function', oid::regprocedure::text, prosrc from pg_proc where pronamespace = $1::regnamespace
  union all select 'trigger', tgname, pg_get_triggerdef(pg_trigger.oid) from pg_trigger join mine on mine.oid = tgrelid
    where not tgisinternal
  union all select 'enum', typname, enumlabel from pg_enum join pg_type t on t.oid = enumtypid
    where typnamespace = $1::regnamespace
  union all select 'database', datname, '' from pg_database where datname like current_database() || '\\_%'
  union all select 'large object', loid::text, encode(data, 'hex') from pg_largeobject
  union all select 'large object', oid::text, 'exists' from pg_largeobject_metadata
  union all select 'prepared transaction', gid, '' from pg_prepared_xacts where database = current_database()
  union all select 'setting', setdatabase::text, setconfig::text from pg_db_role_setting
  order by 1, 2, 3`

/**
 * Every object that a statement could add, change or remove in the catalog of this schema and of the
 * database.
 */
const catalog = `
  select 'class' as kind, oid::text as name, xmin::text as value from pg_class where relnamespace = $1::regnamespace
  union all select 'type', oid::text, xmin::text from pg_type where typnamespace = $1::regnamespace
  union all select 'function', oid::text, xmin::text from pg_proc where pronamespace = $1::regnamespace
  union all select 'constraint', oid::text, xmin::text from pg_constraint where connamespace = $1::regnamespace
  union all select 'attribute', attrelid || '.' || attnum, a.xmin::text from pg_attribute a
    join pg_class c on c.oid = attrelid where relnamespace = $1::regnamespace
  union all select 'trigger', t.oid::text, t.xmin::text from pg_trigger t join pg_class c on c.oid = tgrelid
    where relnamespace = $1::regnamespace
  union all select 'index', indexrelid::text, i.xmin::text from pg_index i join pg_class c on c.oid = indexrelid
    where relnamespace = $1::regnamespace
  union all select 'rule', r.oid::text, r.xmin::text from pg_rewrite r join pg_class c on c.oid = ev_class
    where relnamespace = $1::regnamespace
  union all select 'enum', oid::text, xmin::text from pg_enum
  union all select 'description', objoid || '.' || objsubid, xmin::text from pg_description where objoid >= 16384
  union all select 'schema', nspname, xmin::text from pg_namespace where nspname !~ '^pg_(temp|toast)'
  union all select 'large object', oid::text, xmin::text from pg_largeobject_metadata
  union all select 'page', loid || '.' || pageno, xmin::text from pg_largeobject
  union all select 'extension', extname, xmin::text from pg_extension
  union all select 'setting', setdatabase || '.' || setrole, xmin::text from pg_db_role_setting
  union all select 'role', rolname, oid::text from pg_roles
  order by 1, 2`

/** The text that stays the same if nothing is stored. */
export function stock({ things, versions }: Inventory): string {
  return [...things, ...versions].join("\n")
}

/** Reads the contents of a schema, and the objects outside schemas, as an outsider sees them. */
export async function inventory(outsider: Outsider, schema = "public"): Promise<Inventory> {
  const entries = await outsider.sql<Entry>(definitions, [schema])
  const relations = await outsider.sql<{ name: string; kind: string }>(
    `select quote_ident($1) || '.' || quote_ident(relname) as name, relkind::text as kind from pg_class
     where relnamespace = $1::regnamespace and relkind in ('r', 'm', 'S') order by 1`,
    [schema],
  )
  const rows = await outsider.sql<Entry & { version: string | null }>(
    `${relations.map(rowsOf).join(" union all ")} order by 1, 2, 3`,
  )
  const versions = await outsider.sql<Entry>(catalog, [schema])
  return {
    things: [...entries, ...rows.filter(isRow)].map(describe),
    sequences: rows.filter((row) => !isRow(row)).map(describe),
    versions: [
      ...versions.map(describe),
      ...rows.filter(isRow).map(({ name, value, version }) => `${name} ${value} ${version}`),
    ],
  }
}

function rowsOf({ name, kind }: { name: string; kind: string }): string {
  return kind === "S"
    ? `select 'sequence' as kind, '${name}' as name, last_value || ' ' || is_called as value, null as version from ${name}`
    : `select 'row' as kind, '${name}' as name, t::text as value, xmin::text as version from ${name} t`
}

function isRow({ kind }: Entry): boolean {
  return kind !== "sequence"
}

/** Replaces current times, which differ between runs. */
function describe({ kind, name, value }: Entry): string {
  return `${kind} ${name} ${value ?? ""}`.replaceAll(/20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?/g, "now")
}
