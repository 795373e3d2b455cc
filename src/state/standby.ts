/** Returns the rows of a query. */
export type Read = <Row extends object>(text: string) => Promise<Row[]>

/**
 * Finds the control connections of all processes whose change is committed on this server and waits for a
 * synchronous standby. Roles see each other's only as members of `pg_read_all_stats`.
 */
const waiting = `
  select string_agg('backend ' || pid, ', ' order by pid) as backends, current_setting('synchronous_standby_names') as names
  from pg_catalog.pg_stat_activity
  where wait_event = 'SyncRep' and application_name = 'typeorm-maintenance-mode' and datname = current_database()
  having count(*) > 0`

/**
 * Returns a sentence about a change of the mode that waits for a synchronous standby, if there is one. No
 * session sees the change until a standby answers, and it cannot be undone. Ending the waiting backend puts
 * it in force at once.
 */
export async function standbyAwaited(read: Read): Promise<string | undefined> {
  const [row] = await read<{ backends: string; names: string }>(waiting).catch(() => [])
  if (!row) return undefined
  return (
    "a change of the mode is committed on this server, but waits for a synchronous standby that does not answer " +
    `(${row.backends}; synchronous_standby_names is '${row.names}'). It cannot be undone, and takes effect as soon as a standby ` +
    "answers. Start the standby, or remove it from synchronous_standby_names (ALTER SYSTEM SET ..., SELECT pg_reload_conf())."
  )
}
