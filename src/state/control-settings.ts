import type { ClientConfig } from "pg"
import { plainValues } from "../wire/plain-values"

/** How long to wait for an answer before the network is taken to be broken: no statement for the state takes long. */
export const patienceMs = 10_000

/** How long to wait for a lock that somebody has on the state, so that others do not wait behind that. */
const lockWithinMs = 2000

/** What the control connection has for itself, whatever the application has set for its own. */
export const ownSettings = {
  types: plainValues,
  pipeline: false,
  keepAlive: true,
  keepAliveInitialDelayMillis: patienceMs,
  connectionTimeoutMillis: patienceMs,
} as ClientConfig

/**
 * The same, where pg prefers what the application's URL or `pg.defaults` says. A server that is told of these times, or a pooler,
 * would apply them to statements that may wait, and to a session that idles by its nature.
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
 * What the session has for itself. It inherits `options`, which may say to a proxy where to connect, and whatever the role and the
 * database set; RESET would bring these back. Not every version of PostgreSQL has all of them.
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

/** Whether the client is connected to PostgreSQL itself ($1 is the process id that it was told); makes the settings, if so. */
export const setUp = `
  select pg_backend_pid() = $1 as is_direct, (
    select count(set_config(name, value, false)) from unnest($2::text[], $3::text[]) as s (name, value)
    where pg_backend_pid() = $1 and current_setting(name, true) is not null
  ) as settings`
