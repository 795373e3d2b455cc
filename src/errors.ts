import { TypeORMError } from "typeorm"
import type { Blocker } from "./drain/blocker"
import type { Mode } from "./mode/mode"

/** A kind of change to an entity that the ORM made and a veto undid. */
export interface RefusedChange {
  /** The entity's name. */
  readonly entity: string
  /** What was to be done with it. */
  readonly operation: "insert" | "update" | "remove" | "soft-remove" | "recover"
}

/** The users whom the code of one transaction acted for, where they differ; undefined is nobody that is known. */
export interface ActedFor {
  /** When the transaction began. */
  readonly first: string | undefined
  /** When it was refused: the user at the commit counts. */
  readonly last: string | undefined
}

/** What is known of the window that refused. */
export interface RefusalFacts {
  readonly mode?: Mode | undefined
  readonly maintainer?: string | undefined
  readonly reason?: string | undefined
  readonly since?: Date | undefined
  /** When the window ends by itself, on the database's clock. */
  readonly expiresAt?: Date | undefined
  /** How many milliseconds after the refusal that was. */
  readonly retryAfterMs?: number | undefined
  /** Whom the code acted for, where that has changed within the transaction. */
  readonly actedFor?: ActedFor | undefined
  /** The error underneath, mostly the one that PostgreSQL raised. */
  readonly cause?: unknown
}

/** The base of all errors of this package, for `catch` clauses that treat them alike. */
export abstract class MaintenanceError extends TypeORMError {
  /** Stable, for programs: does not change with the message. */
  abstract readonly code: string
  /** The mode that refused, if a window did. */
  readonly mode: Mode | undefined
  /** Who holds the window. */
  readonly maintainer: string | undefined
  /** Why the window was opened. */
  readonly reason: string | undefined
  /** When the window was opened, on the database's clock. */
  readonly since: Date | undefined
  /** When the window ends by itself, on the database's clock; undefined if it does not. */
  readonly expiresAt: Date | undefined
  /** How many milliseconds after the refusal that is, as for the header `Retry-After`; undefined if it is not known. */
  readonly retryAfterMs: number | undefined
  /** Whom the code acted for when the refused transaction began, and when it was refused; undefined if that is the same. */
  readonly actedFor: ActedFor | undefined
  override readonly cause: unknown

  constructor(message: string, facts: RefusalFacts = {}) {
    super(message)
    this.mode = facts.mode
    this.maintainer = facts.maintainer
    this.reason = facts.reason
    this.since = facts.since
    this.expiresAt = facts.expiresAt
    this.retryAfterMs = facts.retryAfterMs
    this.actedFor = facts.actedFor
    this.cause = facts.cause
  }
}

/** Somebody else's change was rolled back, because the system is in concurrent maintenance. */
export class WriteVetoedError extends MaintenanceError {
  readonly code = "MAINTENANCE_WRITE_VETOED"
  /** The changes that the ORM made in the refused transaction; empty where it was plain SQL. */
  readonly changes: readonly RefusedChange[]

  constructor(message: string, facts: RefusalFacts & { changes?: readonly RefusedChange[] } = {}) {
    super(message, facts)
    this.changes = facts.changes ?? []
  }
}

/** Somebody else asked for anything at all, while the system is in exclusive maintenance. */
export class AccessRefusedError extends MaintenanceError {
  readonly code = "MAINTENANCE_ACCESS_REFUSED"
}

/** Somebody who is neither the maintainer nor an emergency user tried to change the mode. */
export class NotMaintainerError extends MaintenanceError {
  readonly code = "MAINTENANCE_NOT_MAINTAINER"
}

/** A mode was not entered, because others had something running when the time was over; the mode is what it was before. */
export class DrainTimeoutError extends MaintenanceError {
  readonly code = "MAINTENANCE_DRAIN_TIMEOUT"
  /** Who was in the way; the oldest first. */
  readonly blockers: readonly Blocker[]

  constructor(message: string, facts: RefusalFacts & { blockers?: readonly Blocker[] } = {}) {
    super(message, facts)
    this.blockers = facts.blockers ?? []
  }
}

/**
 * A mode was not entered to its end, because the database could not be reached for minutes, or the DataSource was destroyed: the
 * mode stands, or may stand, and what others had running may be running still.
 */
export class EnteringInterruptedError extends MaintenanceError {
  readonly code = "MAINTENANCE_ENTERING_INTERRUPTED"
}

/** The state could not be read or changed for a moment, and nothing was done: the database did not answer. Retry later. */
export class StateUnavailableError extends MaintenanceError {
  readonly code = "MAINTENANCE_STATE_UNAVAILABLE"
}

/** Something is wrong with the installation: the DataSource, a version, the schema, a privilege, an option. */
export class MaintenanceSetupError extends MaintenanceError {
  readonly code = "MAINTENANCE_SETUP"
}

/** A call that makes no sense as it stands; nothing was changed. */
export class MaintenanceInputError extends MaintenanceError {
  readonly code = "MAINTENANCE_INPUT"
}
