/** A transaction of another user that was in flight when a window began, and that the drain waits for. */
export interface Blocker {
  /** Process id of its backend; undefined for a prepared transaction. */
  readonly pid: number | undefined
  /**
   * PostgreSQL's virtual transaction id, or the name of a prepared transaction. For a session between two
   * statements of this package, `session` and the process id. A stopped process leaves such a session.
   */
  readonly transaction: string
  /** `application_name` of its session. */
  readonly application: string | undefined
  /** Role of its session. */
  readonly user: string | undefined
  /** Address of its client; undefined for a Unix socket. */
  readonly clientAddress: string | undefined
  /** Age in milliseconds, on the database's clock. */
  readonly ageMs: number | undefined
  /**
   * State of its session as PostgreSQL reports it: `active`, `idle in transaction`, and so on; or `prepared`.
   */
  readonly state: string | undefined
  /** Whether it has already changed something. */
  readonly hasWritten: boolean
  /** First 200 characters of its last statement. */
  readonly query: string | undefined
  /** The instance to whose pool it belongs, if any. */
  readonly instance: { readonly id: number; readonly host: string; readonly pid: number } | undefined
  /**
   * Whether PostgreSQL hides the session's activity, because the querying role is not a member of
   * `pg_read_all_stats`.
   */
  readonly isHidden: boolean
  /** Reason why the attempt to cancel or terminate it failed, if there was one. */
  readonly cannotEnd?: string | undefined
}

/** Result of one look at the in-flight transactions. */
export interface Sight {
  /** The blockers, oldest first; those whose age is hidden come last. */
  readonly blockers: readonly Blocker[]
  /**
   * Backends that hold the gate or the hold without blocking: they act for users whom the window does not
   * restrict.
   */
  readonly ownHolders: readonly number[]
}

/**
 * Describes a blocker in one line for the operator. The SQL is included only on request, since it contains
 * other users' data.
 */
export function describeBlocker(blocker: Blocker, showsQueries: boolean): string {
  const { pid, transaction, application, user, clientAddress, ageMs, state, hasWritten, instance } = blocker
  const who = pid === undefined ? `prepared transaction ${transaction}` : `backend ${pid}`
  const facts = [
    application && `application ${application}`,
    user && `user ${user}`,
    clientAddress && `from ${clientAddress}`,
    instance && `process ${instance.pid} on ${instance.host}`,
    ageMs !== undefined && `open for ${(ageMs / 1000).toFixed(1)} s`,
    pid !== undefined && state,
    hasWritten ? "has written" : undefined,
    blocker.isHidden && "hidden: this role is not a member of pg_read_all_stats",
    blocker.cannotEnd && `not ended: ${blocker.cannotEnd}`,
  ].filter(Boolean)
  return `${who} (${facts.join(", ")})${showsQueries && blocker.query ? `: ${blocker.query}` : ""}`
}
