import { formatDuration } from "../duration"
import { type Check, type Examination, rowsOf } from "./examination"

/** Age in seconds from which a prepared transaction, or a lock of an idle session, counts as left behind. */
const leftAfterSeconds = 60
/** Age in seconds from which a transaction counts as long. */
const longAfterSeconds = 300

/** Examines prepared transactions, which a drain waits for and no drain ends. */
export const checkPrepared: Check = async ({ client }) => {
  const rows = await rowsOf<{ gid: string; owner: string; seconds: number }>(
    client,
    `select gid, owner, extract(epoch from clock_timestamp() - prepared)::float8 as seconds from pg_catalog.pg_prepared_xacts
     where database = current_database() and prepared < clock_timestamp() - $1 * interval '1 second' order by prepared`,
    [leftAfterSeconds],
  )
  return rows.map(({ gid, owner, seconds }) => ({
    severity: "warning",
    check: "prepared",
    message: `The transaction '${gid}' of ${owner} has been prepared for ${formatDuration(seconds * 1000)}. "enter" waits for it, and no drain ends it.`,
    remedy: `As ${owner}, run: rollback prepared '${gid.replaceAll("'", "''")}'; or commit prepared instead.`,
  }))
}

/** Examines transactions that have been open for long. */
export const checkLongTransactions: Check = async ({ client }) => {
  const rows = await rowsOf<{ pid: number; application: string; state: string; seconds: number }>(
    client,
    `select pid, application_name as application, state, extract(epoch from clock_timestamp() - xact_start)::float8 as seconds
     from pg_catalog.pg_stat_activity
     where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
       and xact_start < clock_timestamp() - $1 * interval '1 second' order by xact_start`,
    [longAfterSeconds],
  )
  return rows.map(({ pid, application, state, seconds }) => ({
    severity: "warning",
    check: "transactions",
    message: `The transaction of ${backend(pid, application, state)} has been open for ${formatDuration(seconds * 1000)}. Exclusive mode waits for it.`,
    remedy: `End it in its application, or run: select pg_terminate_backend(${pid});`,
  }))
}

/** Examines locks on the state that keep everybody from reading or changing it. */
export const checkStateLocks: Check = async ({ client, schema }) => {
  const rows = await rowsOf<{
    pid: number | null
    application: string | null
    state: string | null
    gid: string | null
  }>(
    client,
    `select l.pid, a.application_name as application, a.state, x.gid
     from pg_catalog.pg_locks l
     join pg_catalog.pg_class c on c.oid = l.relation and c.relname in ('state', 'window', 'schema_version')
     join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = $1
     left join pg_catalog.pg_stat_activity a on a.pid = l.pid
     left join pg_catalog.pg_prepared_xacts x on l.virtualtransaction = '-1/' || x.transaction
     where l.granted and l.mode in ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
       and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
       and l.pid is distinct from pg_backend_pid()
     group by 1, 2, 3, 4`,
    [schema],
  )
  return rows.map(({ pid, application, state, gid }) => ({
    severity: "error",
    check: "locks",
    message: `${pid === null ? `The prepared transaction '${gid}'` : backend(pid, application, state, "Backend")} has locked a table of the schema "${schema}", so the state cannot be read or changed.`,
    remedy:
      pid === null
        ? `Run: rollback prepared '${gid?.replaceAll("'", "''")}'; or commit prepared instead.`
        : `End it in its application, or run: select pg_terminate_backend(${pid});`,
  }))
}

/** Examines locks of the plugin that sessions hold although they do nothing. */
export const checkLocks: Check = async ({ client, schema, report }: Examination) => {
  if (!report) return []
  const rows = await rowsOf<{ pid: number; application: string; state: string; seconds: number }>(
    client,
    `select a.pid, a.application_name as application, a.state, extract(epoch from clock_timestamp() - a.state_change)::float8 as seconds
     from "${schema}".holders(0) as holder join pg_catalog.pg_stat_activity a on a.pid = holder
     where a.state like 'idle%' and a.state_change < clock_timestamp() - $1 * interval '1 second'
     group by a.pid, a.application_name, a.state, a.state_change order by a.state_change`,
    [leftAfterSeconds],
  )
  return rows.map(({ pid, application, state, seconds }) => ({
    severity: "warning",
    check: "locks",
    message: `${backend(pid, application, state, "Backend")} has held a lock of the plugin for ${formatDuration(seconds * 1000)} and does nothing. "enter" waits for it.`,
    remedy: `End it in its application, or run: select pg_terminate_backend(${pid});`,
  }))
}

/** The name of a session in a sentence. */
function backend(pid: number, application: string | null, state: string | null, word = "backend"): string {
  return `${word} ${pid} (${[application, state].filter(Boolean).join(", ")})`
}
