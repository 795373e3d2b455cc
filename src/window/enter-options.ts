import type { DrainOutcome } from "../mode/drain-outcome"

/** Options for draining in-flight transactions when a window begins. */
export interface DrainOptions {
  /**
   * Time to wait for in-flight transactions, in milliseconds. Default: 30000. Without `drain`, a concurrent
   * window waits only for commits under way. Commits under way are given at least 1000 ms.
   */
  withinMs?: number | undefined
  /**
   * The outcome for transactions that are still open after `withinMs`. Default: `proceed` in concurrent mode,
   * `abandon` in exclusive mode.
   * - `proceed` leaves them open, and they are refused later. Sessions without the plugin and prepared
   *   transactions are not refused, and may still commit. Commits under way can no longer be refused: an
   *   explicit `proceed` waits for them without limit, the default one abandons the window after a limit.
   * - `cancel` cancels their statements. If any transaction is still open 5 seconds later, the window is
   *   abandoned.
   * - `terminate` terminates their sessions. If any transaction is still open 5 seconds later, the window is
   *   abandoned.
   * - `abandon` restores the previous mode and throws DrainTimeoutError.
   */
  then?: DrainOutcome | undefined
}

/** Options for `enter()` and `during()`. */
export interface EnterOptions {
  /** The maintainer. Default: the current user. */
  as?: string | undefined
  /**
   * Reason for the operators and their logs, at most 1000 characters. Default: none, or the one given before.
   */
  reason?: string | undefined
  /**
   * Message for the public, which HTTP layers send with a refusal; at most 2000 characters. Default: none, or
   * the one given before.
   */
  message?: string | undefined
  /**
   * Expected duration of the work, in milliseconds; at least 1000. Nothing ends then. It must not exceed
   * `expiresInMs`, or the end that the window keeps from the one before. Without an expiry, refusals derive `retryAfterMs` from it. Default: unknown, or the one given
   * before.
   */
  plannedForMs?: number | undefined
  /**
   * Time to wait for the instances to acknowledge the new mode, in milliseconds. An instance that does not is
   * named in the result and in a process warning. Default: 5000.
   */
  acknowledgeWithinMs?: number | undefined
  /**
   * Time until the window ends by itself, in milliseconds; at least 1000. The database's clock decides, so
   * the window ends even if every process is dead. Default: no expiry, or the one given before.
   */
  expiresInMs?: number | undefined
  /**
   * `"alive"` ties the window to this process. The window ends when the database has not heard from the
   * process's watch for `graceMs`: the process is dead, stopped or cut off. Default: the window is tied to no
   * process, or as given before.
   */
  heldWhile?: "alive" | undefined
  /** Longest silence of this process that is tolerated, in milliseconds; at least 1000. Default: 30000. */
  graceMs?: number | undefined
  /**
   * The outcome after `graceMs` of silence. `"stay"` leaves the window in force, as if it were not tied.
   * Default: `"end"`.
   */
  then?: "end" | "stay" | undefined
  /**
   * Time until the window begins, in milliseconds. Default: it begins at once. The window is announced now
   * and restricts no one until then; `leave()` or `cancel()` takes it back. If this process is gone by then,
   * another instance begins the window, except that of a `during()`.
   */
  startsInMs?: number | undefined
  /** Start of the window, as an alternative to `startsInMs`. The database's clock decides. */
  startsAt?: Date | undefined
  /**
   * Maximum number of connections that other users may use in each instance at a time, in concurrent mode; at
   * least 1. Further calls wait, so that the pool has room for the maintainer. Default: no limit, or the one
   * given before.
   */
  readers?: number | undefined
  /** Options for draining in-flight transactions. Default: those of the mode. */
  drain?: DrainOptions | undefined
  /**
   * Whether SIGINT and SIGTERM end the window before they end the process, for scripts. Default: false.
   * - A window that is being entered is taken back; a window that stands is left. This delays the end of the
   *   process by at most 5 seconds.
   * - A second signal is not delayed.
   * - If the application listens to the signal, its listeners decide what becomes of the process.
   */
  leaveOnSignal?: boolean | undefined
  /** Aborts the entering: the previous mode is restored, and `enter()` rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/**
 * Options for `announce()`: those of `enter()`, except the ones that need a waiting call or a living process.
 */
export type AnnounceOptions = Omit<
  EnterOptions,
  "signal" | "leaveOnSignal" | "heldWhile" | "graceMs" | "then"
>

/** The names of the options of `enter()`. */
export const enterOptionNames = [
  "as",
  "reason",
  "message",
  "plannedForMs",
  "expiresInMs",
  "heldWhile",
  "graceMs",
  "then",
  "startsInMs",
  "startsAt",
  "readers",
  "drain",
  "acknowledgeWithinMs",
  "leaveOnSignal",
  "signal",
]
