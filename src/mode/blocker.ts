/** A transaction of others that was open when a mode was entered, and is waited for. */
export interface Blocker {
  /** The process id of its backend; undefined for a prepared transaction. */
  readonly pid: number | undefined
  /**
   * PostgreSQL's virtual transaction id, or the name of a prepared transaction; `session` and the process id for a session that is
   * between two statements of this package, as when its process was stopped.
   */
  readonly transaction: string
  /** `application_name` of its session. */
  readonly application: string | undefined
  /** The role of its session. */
  readonly user: string | undefined
  /** The address of its client; undefined for a Unix socket. */
  readonly clientAddress: string | undefined
  /** How long it has been open, on the database's clock. */
  readonly ageMs: number | undefined
  /** PostgreSQL's word for what its session does: `active`, `idle in transaction`, ...; or `prepared`. */
  readonly state: string | undefined
  /** Whether it has changed something already. */
  readonly hasWritten: boolean
  /** The first 200 characters of its last statement. */
  readonly query: string | undefined
  /** The instance whose pool it is of, if it is of one. */
  readonly instance: { readonly id: number; readonly host: string; readonly pid: number } | undefined
  /** Whether PostgreSQL hides what it does from the role that looks: it is no member of `pg_read_all_stats`. */
  readonly isHidden: boolean
  /** Why it could not be cancelled or terminated, if that was tried. */
  readonly cannotEnd?: string | undefined
}

/** What a look has found. */
export interface Sight {
  /** Who is in the way; the oldest come first, those whose age is hidden last. */
  readonly blockers: readonly Blocker[]
  /** The holders who are in nobody's way: they act for somebody whom the window does not restrict. */
  readonly ownHolders: readonly number[]
}

/** One line for the operator; its SQL, which holds the data of others, only where that is wanted. */
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
    blocker.isHidden && "hidden: this role is no member of pg_read_all_stats",
    blocker.cannotEnd && `not ended: ${blocker.cannotEnd}`,
  ].filter(Boolean)
  return `${who} (${facts.join(", ")})${showsQueries && blocker.query ? `: ${blocker.query}` : ""}`
}
