import { inspect, type InspectOptions } from "node:util"
import { TypeORMError } from "typeorm"
import type { Blocker } from "./mode/blocker"
import type { EndedBecause, Ending } from "./mode/ending"
import type { Mode } from "./mode/mode"
import type { RefusedChange } from "./mode/refused-change"

/** The users whom the code of one transaction acted for, where they differ; undefined is nobody that is known. */
export interface ActedFor {
  /** When the transaction began. */
  readonly first: string | undefined
  /** When it was refused: the user at the commit counts. */
  readonly last: string | undefined
}

/** What is known of the window that refused. */
export interface RefusalFacts {
  readonly windowId?: string | undefined
  readonly mode?: Mode | undefined
  readonly maintainer?: string | undefined
  readonly reason?: string | undefined
  /** What the maintainer has the public be told. */
  readonly publicMessage?: string | undefined
  readonly since?: Date | undefined
  /** When the window ends by itself, on the database's clock. */
  readonly expiresAt?: Date | undefined
  /** How many milliseconds after the refusal that was; or else, for how long it was planned to go on. */
  readonly retryAfterMs?: number | undefined
  /** Whom the code acted for, where that has changed within the transaction. */
  readonly actedFor?: ActedFor | undefined
  /** The error underneath, mostly the one that PostgreSQL raised. */
  readonly cause?: unknown
}

/** The base of all errors of this package, for `catch` clauses that treat them alike. */
export abstract class MaintenanceError extends TypeORMError {
  /** Literal in each class: bundlers rename classes. */
  abstract override get name(): string
  /** Stable, for programs: does not change with the message. */
  abstract readonly code: string
  /** The window that refused, if one did: names it in the journal. Not printed. */
  declare readonly windowId: string | undefined
  /** The mode that refused, if a window did. */
  declare readonly mode: Mode | undefined
  /** Who holds the window. */
  declare readonly maintainer: string | undefined
  /** Why the window was opened: for those who run the system. */
  declare readonly reason: string | undefined
  /** What the maintainer has the public be told (the option `message` of `enter`). */
  declare readonly publicMessage: string | undefined
  /** When the window was opened, on the database's clock. */
  declare readonly since: Date | undefined
  /** When the window ends by itself, on the database's clock; undefined if it does not. */
  declare readonly expiresAt: Date | undefined
  /**
   * How many milliseconds after the refusal that is, or else the maintainer expects to be done, as for the header `Retry-After`; undefined
   * if neither is known.
   */
  declare readonly retryAfterMs: number | undefined
  /** Whom the code acted for when the refused transaction began, and when it was refused; undefined if that is the same. */
  declare readonly actedFor: ActedFor | undefined
  declare readonly cause: unknown

  constructor(message: string, facts: RefusalFacts = {}) {
    super(message)
    const { mode, maintainer, reason, publicMessage, since, expiresAt, retryAfterMs, actedFor, cause } = facts
    const window = { mode, maintainer, reason, publicMessage, since, expiresAt, retryAfterMs }
    const known = Object.entries({ ...window, actedFor })
    Object.assign(this, Object.fromEntries(known.filter(([, value]) => value !== undefined)))
    if (facts.windowId !== undefined) hide(this, { windowId: facts.windowId })
    if (cause !== undefined) hide(this, { cause })
  }

  /** The name, the message and all that is known, for logs; not the cause. */
  toJSON(): object {
    return Object.assign({ name: this.name, message: this.message }, this)
  }
}

/**
 * Refusals of what other users do. Frameworks for HTTP take `statusCode`, `headers` and `message` (Fastify), or `stack` (Express)
 * from an error that nobody handles, and send them to whoever asked. So message and stack tell neither the maintainer nor the reason;
 * `detailedMessage`, the string and what is printed of the error do.
 */
export abstract class RefusalError extends MaintenanceError {
  /** The message with the maintainer, the reason and the refused changes: for logs, and for those who run the system. */
  declare readonly detailedMessage: string

  constructor(message: string, facts: RefusalFacts & { detailedMessage?: string | undefined } = {}) {
    super(message, facts)
    hide(this, { detailedMessage: facts.detailedMessage ?? message })
  }

  /** The HTTP status: Service Unavailable. */
  get status(): 503 {
    return 503
  }

  /** The same, as most frameworks call it. */
  get statusCode(): 503 {
    return this.status
  }

  /** Headers of a response: `retry-after`, in seconds, where it is known when the window ends. */
  get headers(): { readonly "retry-after": string } | undefined {
    if (this.retryAfterMs === undefined) return undefined
    return { "retry-after": String(Math.max(1, Math.ceil(this.retryAfterMs / 1000))) }
  }

  /** Whether the message is meant for the client, as `http-errors` calls it. */
  get expose(): false {
    return false
  }

  override toString(): string {
    return `${this.name}: ${this.detailedMessage}`
  }

  /** A few lines: the application's frames, if the stack has any, and what is known of the window. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const frames = this.stack?.split("\n").filter((line) => /^\s+at /.test(line)) ?? []
    const ofApplication = frames.filter((frame) => !/node_modules|node:/.test(frame))
    const shown = (ofApplication.length > 0 ? ofApplication : frames).slice(0, maxFrames)
    const facts = inspect({ ...this }, { ...options, breakLength: Number.POSITIVE_INFINITY, compact: true })
    return [String(this).replaceAll(/\s+/g, " "), ...shown, `  ${facts}`].join("\n")
  }
}

/** How many frames of a refusal's stack are printed. */
const maxFrames = 6

/** Sets what a reader finds by name, and what loggers are not to print. */
function hide(error: Error, properties: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(error, name, { value, enumerable: false, writable: true, configurable: true })
  }
}

/** Somebody else's change was rolled back, because the system is in concurrent maintenance. */
export class WriteVetoedError extends RefusalError {
  readonly code = "MAINTENANCE_WRITE_VETOED"
  /** The changes that the ORM made in the refused transaction; empty where it was plain SQL. */
  readonly changes: readonly RefusedChange[]

  constructor(
    message: string,
    facts: RefusalFacts & { detailedMessage?: string; changes?: readonly RefusedChange[] } = {},
  ) {
    super(message, facts)
    this.changes = facts.changes ?? []
  }

  override get name(): string {
    return "WriteVetoedError"
  }
}

/** Somebody else asked for anything at all, while the system is in exclusive maintenance. */
export class AccessRefusedError extends RefusalError {
  readonly code = "MAINTENANCE_ACCESS_REFUSED"

  override get name(): string {
    return "AccessRefusedError"
  }
}

/** The `during()` that keeps another one of the same user from beginning. */
export interface RunningTask {
  /** The machine and the process that it runs in; undefined where instances are not known. */
  readonly host: string | undefined
  readonly pid: number | undefined
  /** When its window began, on the database's clock. */
  readonly since: Date | undefined
  /** Whether that process is gone, for ever or for a moment. */
  readonly isGone: boolean
  /** The id of its instance. */
  readonly instance: number | undefined
}

/** A mode was not changed, because somebody else holds the window, or has announced one, or another task is running. */
export class NotMaintainerError extends MaintenanceError {
  readonly code = "MAINTENANCE_NOT_MAINTAINER"
  /** The task that is running, if that is what was in the way. */
  declare readonly task: RunningTask | undefined

  constructor(message: string, facts: RefusalFacts & { task?: RunningTask | undefined } = {}) {
    super(message, facts)
    if (facts.task) this.task = facts.task
  }

  override get name(): string {
    return "NotMaintainerError"
  }
}

/** Your window is over: it expired, or was ended by somebody. `mode`, `maintainer` and the like tell what holds instead. */
export class WindowEndedError extends MaintenanceError {
  readonly code = "MAINTENANCE_WINDOW_ENDED"
  /** How it ended; undefined if that could not be read. */
  declare readonly endedBecause: EndedBecause | undefined
  /** The user who ended it; undefined if nobody did, as when it expired. */
  declare readonly endedBy: string | undefined
  /** When it ended, on the database's clock. */
  declare readonly endedAt: Date | undefined

  constructor(message: string, { endedBecause, endedBy, endedAt, ...facts }: RefusalFacts & Ending = {}) {
    super(message, facts)
    if (endedBecause) this.endedBecause = endedBecause
    if (endedBy !== undefined) this.endedBy = endedBy
    if (endedAt) this.endedAt = endedAt
  }

  override get name(): string {
    return "WindowEndedError"
  }
}

/** A mode was not entered, because others had something running when the time was over; the mode is what it was before. */
export class DrainTimeoutError extends MaintenanceError {
  readonly code = "MAINTENANCE_DRAIN_TIMEOUT"
  /** Who was in the way; the oldest first. Not printed: the message names them, without their SQL. */
  declare readonly blockers: readonly Blocker[]

  constructor(message: string, facts: RefusalFacts & { blockers?: readonly Blocker[] } = {}) {
    super(message, facts)
    hide(this, { blockers: facts.blockers ?? [] })
  }

  override get name(): string {
    return "DrainTimeoutError"
  }
}

/**
 * A mode was entered, but what others had running was not waited for, because the database could not be asked for minutes, or the
 * DataSource was destroyed. After `enter()` the window stands; `during()` has ended it again, and its work was not begun.
 */
export class EnteringInterruptedError extends MaintenanceError {
  readonly code = "MAINTENANCE_ENTERING_INTERRUPTED"

  override get name(): string {
    return "EnteringInterruptedError"
  }
}

/**
 * A change of the mode was asked for, and the connection was lost before the answer: it was made, or it was not. Look at `status()`
 * before you ask again.
 */
export class OutcomeUnknownError extends MaintenanceError {
  readonly code = "MAINTENANCE_OUTCOME_UNKNOWN"

  override get name(): string {
    return "OutcomeUnknownError"
  }
}

/**
 * The state could not be read or changed for a moment, and nothing was done: the database did not answer, others have locked the
 * state, or the DataSource is destroyed. Retry later.
 */
export class StateUnavailableError extends MaintenanceError {
  readonly code = "MAINTENANCE_STATE_UNAVAILABLE"
  /** Whether the DataSource was destroyed, or maintenance mode uninstalled: to retry, initialize it first. */
  readonly isDestroyed: boolean

  constructor(
    message: string,
    { isDestroyed = false, ...facts }: RefusalFacts & { isDestroyed?: boolean } = {},
  ) {
    super(message, facts)
    this.isDestroyed = isDestroyed
  }

  override get name(): string {
    return "StateUnavailableError"
  }
}

/** The installation is wrong, and a person must mend it: the DataSource, a version, the schema, a privilege, an option. */
export class MaintenanceSetupError extends MaintenanceError {
  readonly code = "MAINTENANCE_SETUP"

  override get name(): string {
    return "MaintenanceSetupError"
  }
}

/** A call that makes no sense as it stands; nothing was changed. `mode` is `normal` where there was no window to change. */
export class MaintenanceInputError extends MaintenanceError {
  readonly code = "MAINTENANCE_INPUT"

  override get name(): string {
    return "MaintenanceInputError"
  }
}
