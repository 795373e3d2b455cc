import type { Mode } from "./mode"
import type { RefusedChange } from "./refused-change"

/**
 * The users for whom the code of one transaction acted, where they differ; undefined stands for no known
 * user.
 */
export interface ActedFor {
  /** The user when the transaction began. */
  readonly first: string | undefined
  /** The user when it was refused: the user at the commit counts. */
  readonly last: string | undefined
}

/** Known facts about the window that refused. */
export interface RefusalFacts {
  readonly windowId?: string | undefined
  readonly mode?: Mode | undefined
  readonly maintainer?: string | undefined
  readonly reason?: string | undefined
  /** The maintainer's message for the public. */
  readonly publicMessage?: string | undefined
  readonly since?: Date | undefined
  /** Time at which the window ends by itself, on the database's clock. */
  readonly expiresAt?: Date | undefined
  /** Milliseconds from the refusal until `expiresAt`, or else until the planned end. */
  readonly retryAfterMs?: number | undefined
  /** The users for whom the code acted, if they changed within the transaction. */
  readonly actedFor?: ActedFor | undefined
  /** The underlying error, usually the one that PostgreSQL raised. */
  readonly cause?: unknown
}

/** Facts about a refused statement, in addition to those about the window. */
export interface RefusedStatement {
  /** The ORM's changes that the refusal undoes. */
  readonly changes?: readonly RefusedChange[] | undefined
  /** The users for whom the code acted, if they changed within the transaction. */
  readonly actedFor?: ActedFor | undefined
  /** Whether the statement is a commit. */
  readonly isCommit?: boolean | undefined
  /** Reason for which a statement is vetoed although it may only read: a sentence. */
  readonly why?: string | undefined
  /** The underlying error of a veto, if it is not the one that PostgreSQL raised for the refusal. */
  readonly cause?: unknown
}
