import type { Pool } from "pg"
import type { DataSource } from "typeorm"
import { lockKeys } from "../../src/state/schema"
import type { Outsider } from "./shop"

/** The connection pool of a DataSource. */
export function poolOf(dataSource: DataSource): Pool {
  return (dataSource.driver as unknown as { master: Pool }).master
}

/**
 * Counts a DataSource's connections that were not released, and the transactions and locks of idle sessions,
 * except watches.
 */
export async function stray(dataSource: DataSource, outsider: Outsider): Promise<object> {
  const pool = poolOf(dataSource)
  const [found] = await outsider.sql(`select
    (select count(*)::int from pg_stat_activity
      where datname = current_database() and state like 'idle in transaction%') as open,
    (select count(*)::int from pg_locks
      where locktype = 'advisory' and pid is not null and classid <> ${lockKeys("maintenance").presence}
        and database = (select oid from pg_database where datname = current_database())) as locks`)
  return { lent: pool.totalCount - pool.idleCount, ...found }
}

/** The expected result of `stray()`. */
export const nothingStray = { lent: 0, open: 0, locks: 0 }
