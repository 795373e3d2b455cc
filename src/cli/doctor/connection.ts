import { type Check, rowOf } from "./examination"

/** Difference between two clocks that is worth a warning, in milliseconds. */
const tolerableSkewMs = 2000
/** Connections that should be free, as a share of those allowed. */
const freeShare = 0.1

/** Examines whether a pooler stands between this process and the server. */
export const checkPooler: Check = async ({ client }) => {
  const { pid } = await rowOf<{ pid: number }>(client, "select pg_backend_pid() as pid")
  // pg (8.11 to 8.23) keeps the process id that it received on connecting.
  const received = (client as unknown as { processID: number | null }).processID
  if (received === pid)
    return [{ severity: "ok", check: "pooler", message: "The connection leads to PostgreSQL itself." }]
  return [
    {
      severity: "warning",
      check: "pooler",
      message:
        "A pooler stands between this process and PostgreSQL, so notifications do not arrive and instances are not listed.",
      remedy:
        "Connect to PostgreSQL itself. In applications behind the pooler, set preparedStatements: false.",
    },
  ]
}

/** Examines whether the clocks of this machine and of the server agree. */
export const checkClock: Check = async ({ client }) => {
  const before = Date.now()
  const { ms } = await rowOf<{ ms: number }>(
    client,
    "select extract(epoch from clock_timestamp())::float8 * 1000 as ms",
  )
  const skewMs = Math.abs(ms - (before + Date.now()) / 2)
  if (skewMs <= tolerableSkewMs)
    return [{ severity: "ok", check: "clock", message: "This machine's clock agrees with the server's." }]
  return [
    {
      severity: "warning",
      check: "clock",
      message: `This machine's clock differs from the server's by ${Math.round(skewMs / 1000)} s. Windows begin and end by the server's.`,
      remedy: "Synchronize the clocks (NTP).",
    },
  ]
}

/** Examines whether there is room for more connections. */
export const checkHeadroom: Check = async ({ client }) => {
  const { used, allowed } = await rowOf<{ used: number; allowed: number }>(
    client,
    `select (select count(*)::int from pg_catalog.pg_stat_activity where backend_type = 'client backend') as used,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as allowed`,
  )
  const message = `${used} of ${allowed} connections are in use.`
  if (allowed - used >= Math.max(3, allowed * freeShare))
    return [{ severity: "ok", check: "connections", message }]
  return [
    {
      severity: "warning",
      check: "connections",
      message,
      remedy:
        "Raise max_connections, or make the pools smaller: a maintainer who finds no free connection cannot work.",
    },
  ]
}

/** Examines whether commits wait for a synchronous standby that is not there. */
export const checkStandby: Check = async ({ client }) => {
  const row = await rowOf<{ names: string; count: number; mode: string }>(
    client,
    `select current_setting('synchronous_standby_names') as names, current_setting('synchronous_commit') as mode,
       (select count(*)::int from pg_catalog.pg_stat_replication where sync_state in ('sync', 'quorum')) as count`,
  )
  if (row.names === "" || row.count > 0 || ["off", "local"].includes(row.mode)) return []
  return [
    {
      severity: "error",
      check: "standby",
      message: `No synchronous standby is connected (synchronous_standby_names is '${row.names}'), so commits wait, and so does every change of the mode.`,
      remedy: "Start the standby, or set synchronous_standby_names = '' and reload.",
    },
  ]
}
