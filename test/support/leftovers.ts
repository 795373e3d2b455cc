import { setTimeout as pause } from "node:timers/promises"
import type { Client } from "pg"
import { lockKeys } from "../../src/state/schema"
import { shared } from "../../src/shared"
import { liveDatabases, withClient } from "./database"
import { type Moment, openedSince } from "./sockets"

/** Number of looks, and the pause between them in milliseconds. The server may take time to notice an end. */
const attempts = 20
const betweenMs = 100

/**
 * Describes everything left behind since a moment: connections, transactions, locks, modes and contexts.
 * Fixtures from a `before` hook are older than the moment.
 */
export async function leftBehind(moment: Moment): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    const found = [...contexts(), ...(await connections(moment)), ...(await inDatabases(moment))]
    if (found.length === 0 || attempt === attempts) return found
    await pause(betweenMs)
  }
}

function contexts(): string[] {
  const context = shared.context.getStore()
  return context === undefined ? [] : [`the context ${JSON.stringify(context)}`]
}

async function connections(moment: Moment): Promise<string[]> {
  const found: string[] = []
  for (const { localPort, remotePort } of openedSince(moment)) {
    const url = urlOf(remotePort)
    if (url === undefined) continue
    const [session] = await withClient(url, async (client) => {
      const look = `select application_name, state, query from pg_stat_activity where client_port = ${localPort}`
      return (await client.query<{ application_name: string; state: string; query: string }>(look)).rows
    })
    if (!session) continue
    // A watch that has reconnected, and belongs to an earlier DataSource.
    if (session.application_name === "typeorm-maintenance-mode" && moment.dataSources.length > 0) continue
    found.push(`the connection ${JSON.stringify(session)}`)
  }
  return found
}

/** The URL of a test database on the server with this port, or undefined. */
function urlOf(port: number | undefined): string | undefined {
  return [...liveDatabases].find(({ url }) => Number(new URL(url).port) === port)?.url
}

async function inDatabases({ at }: Moment): Promise<string[]> {
  const found: string[] = []
  for (const { url } of liveDatabases)
    found.push(...(await withClient(url, (client) => inDatabase(client, at))))
  return found
}

/** Inspects one database in a short session, because tests may wait until no session is left. */
async function inDatabase(client: Client, at: number): Promise<string[]> {
  const installed = (await client.query<{ name: string }>(schemasSql)).rows.map(({ name }) => name)
  return (await client.query<{ left: string }>(leftSql(at, installed))).rows.map(({ left }) => left)
}

/** The schemas in which the plugin is installed. */
const schemasSql = `select nspname as name from pg_proc join pg_namespace n on n.oid = pronamespace
  where proname = 'status' and exists (select from pg_class c where c.relnamespace = n.oid and relname = 'state')`

function leftSql(at: number, schemas: readonly string[]): string {
  const isSince = (column: string) =>
    `${column} > clock_timestamp() - ${performance.now() - at} * interval '1 ms'`
  // Each live instance holds such a lock.
  const presences = schemas.map((schema) => lockKeys(schema).presence)
  const windows = schemas.map(
    (schema) => `union all select concat_ws(' ', 'the', mode, 'mode of', maintainer) from "${schema}".status()
      where mode <> 'normal' and ${isSince("since")}`,
  )
  return `select 'the transaction ' || state || ': ' || query as left from pg_stat_activity
    where datname = current_database() and state like 'idle in transaction%' and ${isSince("state_change")}
    union all
    select concat_ws(' ', 'the advisory lock', classid, objid, 'of backend', pid) from pg_locks
      join pg_stat_activity a using (pid)
    where locktype = 'advisory' and granted and classid::bigint <> all ('{${presences.join()}}')
      and database = a.datid and a.datname = current_database() and ${isSince("state_change")}
    ${windows.join(" ")}`
}
