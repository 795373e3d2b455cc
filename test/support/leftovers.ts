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

/** The condition that something has begun since a moment, by the server's clock. */
function isSince(column: string, at: number): string {
  return `${column} > clock_timestamp() - ${performance.now() - at} * interval '1 ms'`
}

async function inDatabase(client: Client, at: number): Promise<string[]> {
  const { rows } = await client.query<{ schemas: string[]; open: string[] | null }>(`select
    array(select nspname::text from pg_proc join pg_namespace n on n.oid = pronamespace
      where proname = 'fence' and exists (select from pg_class c where c.relnamespace = n.oid and relname = 'state')
    ) as schemas,
    (select array_agg(state || ': ' || query) from pg_stat_activity
      where datname = current_database() and state like 'idle in transaction%' and ${isSince("state_change", at)}
    ) as open`)
  const { schemas = [], open } = rows[0] ?? {}
  const found = (open ?? []).map((session) => `the transaction ${JSON.stringify(session)}`)
  for (const schema of schemas) found.push(...(await windows(client, schema, at)))
  return [...found, ...(await locks(client, schemas, at))]
}

async function windows(client: Client, schema: string, at: number): Promise<string[]> {
  const { rows } = await client.query<{ mode: string; maintainer: string }>(
    `select mode, maintainer from ${client.escapeIdentifier(schema)}.status()
     where mode <> 'normal' and ${isSince("since", at)}`,
  )
  return rows.map(({ mode, maintainer }) => `the ${mode} mode of ${maintainer}`)
}

/** The advisory locks that somebody holds, but those by which instances are known to live. */
async function locks(client: Client, schemas: readonly string[], at: number): Promise<string[]> {
  const { rows } = await client.query<{ held: string }>(
    `select concat_ws(' ', classid, objid, 'of backend', pid) as held from pg_locks
     join pg_stat_activity using (pid)
     where ${isSince("state_change", at)} and locktype = 'advisory' and granted and not classid::bigint = any ($1)
       and database = (select oid from pg_database where datname = current_database())`,
    [schemas.map((schema) => lockKeys(schema).presence)],
  )
  return rows.map(({ held }) => `the advisory lock ${held}`)
}
