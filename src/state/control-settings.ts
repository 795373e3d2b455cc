import type { ClientConfig } from "pg"
import { plainValues } from "../wire/plain-values"

/**
 * Milliseconds to wait for an answer before the network is considered broken: no statement on the state takes
 * long.
 */
export const patienceMs = 10_000

/** Milliseconds to wait for a lock on the state, so that others do not wait behind this request. */
const lockWithinMs = 2000

/** Client options of the control connection, independent of the application's own. */
export const ownSettings = {
  types: plainValues,
  pipeline: false,
  keepAlive: true,
  keepAliveInitialDelayMillis: patienceMs,
  connectionTimeoutMillis: patienceMs,
} as ClientConfig

/**
 * The same for parameters that pg prefers to take from the application's URL or `pg.defaults`. A server or
 * pooler that received these times would apply them to statements that may wait, and to a session that is
 * idle by nature.
 */
export const ownParameters = {
  application_name: "typeorm-maintenance-mode",
  replication: undefined,
  query_timeout: 0,
  statement_timeout: 0,
  lock_timeout: 0,
  idle_in_transaction_session_timeout: 0,
}

/**
 * Settings of the control connection's session. It inherits `options`, which may tell a proxy where to
 * connect, and the settings of the role and the database. RESET would restore those. Not every version of
 * PostgreSQL has all of these settings.
 */
export const sessionSettings = {
  search_path: "pg_catalog, pg_temp",
  datestyle: "ISO, MDY",
  intervalstyle: "postgres",
  timezone: "UTC",
  extra_float_digits: "1",
  standard_conforming_strings: "on",
  default_transaction_isolation: "read committed",
  default_transaction_read_only: "off",
  default_transaction_deferrable: "off",
  lock_timeout: String(lockWithinMs),
  statement_timeout: "0",
  transaction_timeout: "0",
  idle_in_transaction_session_timeout: "0",
  idle_session_timeout: "0",
}

/**
 * Tells whether the client is connected to PostgreSQL itself, and makes the settings if so. $1 is the process
 * id that the client received.
 */
export const setUp = `
  select pg_backend_pid() = $1 as is_direct, (
    select count(set_config(name, value, false)) from unnest($2::text[], $3::text[]) as s (name, value)
    where pg_backend_pid() = $1 and current_setting(name, true) is not null
  ) as settings`
