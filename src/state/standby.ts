/** Reads what a query comes to. */
export type Read = <Row extends object>(text: string) => Promise<Row[]>

/**
 * The control connections, of any process, whose change is committed on this server and waits for a synchronous standby. Roles see
 * that of each other only as members of `pg_read_all_stats`.
 */
const waiting = `
  select string_agg('backend ' || pid, ', ' order by pid) as backends, current_setting('synchronous_standby_names') as names
  from pg_catalog.pg_stat_activity
  where wait_event = 'SyncRep' and application_name = 'typeorm-maintenance-mode' and datname = current_database()
  having count(*) > 0`

/**
 * A sentence for a change of the mode that waits for a synchronous standby, if there is one. Nobody sees it until a standby
 * answers, and it cannot be undone: whoever ends the backend that waits has it come to hold at once.
 */
export async function standbyAwaited(read: Read): Promise<string | undefined> {
  const [row] = await read<{ backends: string; names: string }>(waiting).catch(() => [])
  if (!row) return undefined
  return (
    "a change of the mode is committed on this server, but waits for a synchronous standby that does not answer " +
    `(${row.backends}; synchronous_standby_names is '${row.names}'). It cannot be taken back, and holds as soon as a standby ` +
    "answers. Bring the standby back, or take it out of synchronous_standby_names (ALTER SYSTEM SET ..., SELECT pg_reload_conf())."
  )
}
