import { sqlName } from "../plain"
import { type Check, rowOf } from "./examination"
import type { Finding } from "./finding"

const check = "privileges"

interface PrivilegesRow {
  readonly role: string
  readonly is_there: boolean
  readonly has_usage: boolean | null
  readonly unreadable: string[] | null
  readonly uncallable: number
  readonly open: string[] | null
  readonly sees_all: boolean
  readonly may_signal: boolean
}

/** Examines what the connecting role may do. */
export const checkPrivileges: Check = async ({ client, schema }) => {
  const row = await rowOf<PrivilegesRow>(
    client,
    `select current_user as role, n.oid is not null as is_there, has_schema_privilege(n.oid, 'usage') as has_usage,
       (select array_agg(c.relname::text order by c.relname) from pg_catalog.pg_class c
        where c.relnamespace = n.oid and c.relname in ('schema_version', 'state') and not has_table_privilege(c.oid, 'select')) as unreadable,
       (select count(*)::int from pg_catalog.pg_proc p where p.pronamespace = n.oid and not has_function_privilege(p.oid, 'execute')) as uncallable,
       (select array_agg(p.proname::text order by p.proname) from pg_catalog.pg_proc p
        where p.pronamespace = n.oid and (p.proacl is null or exists (
          select from pg_catalog.aclexplode(p.proacl) as a where a.grantee = 0 and a.privilege_type = 'EXECUTE'
        ))) as open,
       pg_has_role('pg_read_all_stats', 'usage') as sees_all,
       pg_has_role('pg_signal_backend', 'usage') or (select rolsuper from pg_catalog.pg_roles where rolname = current_user) as may_signal
     from (values (1)) as one left join pg_catalog.pg_namespace n on n.nspname = $1`,
    [schema],
  )
  return [...missing(row, schema), ...opened(row, schema), ...aboutOthers(row)]
}

function missing(
  { role, is_there: isThere, has_usage: hasUsage, unreadable, uncallable }: PrivilegesRow,
  schema: string,
): Finding[] {
  if (!isThere) return []
  const grants = [
    ...(hasUsage ? [] : [`grant usage on schema "${schema}" to ${sqlName(role)};`]),
    ...(unreadable?.length
      ? [
          `grant select on "${schema}".schema_version, "${schema}".state, "${schema}".stamp to ${sqlName(role)};`,
        ]
      : []),
    ...(uncallable > 0 ? [`grant execute on all functions in schema "${schema}" to ${sqlName(role)};`] : []),
  ]
  if (grants.length === 0)
    return [{ severity: "ok", check, message: `The role "${role}" may use the schema.` }]
  return [
    {
      severity: "error",
      check,
      message: `The role "${role}" lacks privileges on the schema "${schema}".`,
      remedy: `As the owner of the schema, run: ${grants.join(" ")}`,
    },
  ]
}

/** Functions that everybody may execute: any role could open or end a window. */
function opened({ open }: PrivilegesRow, schema: string): Finding[] {
  if (!open) return []
  return [
    {
      severity: "error",
      check,
      message: `Every role may execute ${open.join(", ")} in the schema "${schema}", if it may use the schema.`,
      remedy: `As the owner of the schema, run: revoke execute on all functions in schema "${schema}" from public;`,
    },
  ]
}

function aboutOthers({ role, sees_all: seesAll, may_signal: maySignal }: PrivilegesRow): Finding[] {
  return [
    ...(seesAll
      ? []
      : [
          {
            severity: "note",
            check,
            message: `PostgreSQL hides from the role "${role}" what sessions of other roles do.`,
            remedy: `To see more about blockers, run as a superuser: grant pg_read_all_stats to ${sqlName(role)};`,
          } as const,
        ]),
    ...(maySignal
      ? []
      : [
          {
            severity: "note",
            check,
            message: `The role "${role}" may not end sessions of other roles, so a drain by cancel or terminate does not end them.`,
            remedy: `To let it, run as a superuser: grant pg_signal_backend to ${sqlName(role)};`,
          } as const,
        ]),
  ]
}
