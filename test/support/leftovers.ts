import { setTimeout as pause } from "node:timers/promises"
import type { Client } from "pg"
import { lockKeys } from "../../src/state/schema"
import { shared } from "../../src/shared"
import { liveDatabases, withClient } from "./database"
import { type Moment, openedSince } from "./sockets"

/** How long the server may take to notice what has ended: looked at again only where something is found. */
const attempts = 20
const betweenMs = 100

/**
 * What has been left behind since a moment: connections, transactions, locks, a mode, a context. Each in words. What a
 * `before` hook holds for several tests is older than the moment.
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
    // A watch that has come back; it is of a DataSource that there was before.
    if (session.application_name === "typeorm-maintenance-mode" && moment.dataSources.length > 0) continue
    found.push(`the connection ${JSON.stringify(session)}`)
  }
  return found
}

/** The URL of a test's database on a server; undefined if the port is of no such server. */
function urlOf(port: number | undefined): string | undefined {
  return [...liveDatabases].find(({ url }) => Number(new URL(url).port) === port)?.url
}

async function inDatabases({ at }: Moment): Promise<string[]> {
  const found: string[] = []
  for (const { url } of liveDatabases)
    found.push(...(await withClient(url, (client) => inDatabase(client, at))))
  return found
}

/** Looks at one database, by a session that ends then: tests may wait until there is none. */
async function inDatabase(client: Client, at: number): Promise<string[]> {
  const installed = (await client.query<{ name: string }>(schemasSql)).rows.map(({ name }) => name)
  return (await client.query<{ left: string }>(leftSql(at, installed))).rows.map(({ left }) => left)
}

/** Where the plugin is installed. */
const schemasSql = `select nspname as name from pg_proc join pg_namespace n on n.oid = pronamespace
  where proname = 'status' and exists (select from pg_class c where c.relnamespace = n.oid and relname = 'state')`

function leftSql(at: number, schemas: readonly string[]): string {
  const isSince = (column: string) =>
    `${column} > clock_timestamp() - ${performance.now() - at} * interval '1 ms'`
  // Instances are known to live by such a lock each.
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
