import { inspect, type InspectOptions } from "node:util"
import { TypeORMError } from "typeorm"
import type { Blocker } from "./mode/blocker"
import type { EndedBecause, Ending } from "./mode/ending"
import type { Mode } from "./mode/mode"
import type { ActedFor, RefusalFacts } from "./mode/refusal-facts"
import type { RefusedChange } from "./mode/refused-change"
import { printable } from "./text"

/** Base class of all errors of this package, for `catch` clauses that treat them alike. */
export abstract class MaintenanceError extends TypeORMError {
  /** The class name, as a literal: bundlers rename classes. */
  abstract override get name(): string
  /** Stable code for programs. It does not change with the message. */
  abstract readonly code: string
  /** Id of the window that refused, if one did, as in the journal. Not printed. */
  declare readonly windowId: string | undefined
  /** The mode that refused, if a window did. */
  declare readonly mode: Mode | undefined
  /** The user who holds the window. */
  declare readonly maintainer: string | undefined
  /** Reason for the window, for those who run the system. */
  declare readonly reason: string | undefined
  /** The maintainer's message for the public (the option `message` of `enter()`). */
  declare readonly publicMessage: string | undefined
  /** Time at which the maintenance began, on the database's clock. */
  declare readonly since: Date | undefined
  /** Time at which the window ends by itself, on the database's clock; undefined if it does not. */
  declare readonly expiresAt: Date | undefined
  /**
   * Milliseconds from the refusal until `expiresAt`, or else until the planned end, as for the header
   * `Retry-After`. Undefined if neither is known.
   */
  declare readonly retryAfterMs: number | undefined
  /**
   * The users for whom the code acted when the refused transaction began and when it was refused; undefined
   * if they are the same.
   */
  declare readonly actedFor: ActedFor | undefined
  declare readonly cause: unknown

  constructor(message: string, facts: RefusalFacts = {}) {
    super(printable(message))
    const { mode, maintainer, reason, publicMessage, since, expiresAt, retryAfterMs, actedFor, cause } = facts
    const window = { mode, maintainer, reason, publicMessage, since, expiresAt, retryAfterMs }
    const known = Object.entries({ ...window, actedFor })
    Object.assign(this, Object.fromEntries(known.filter(([, value]) => value !== undefined)))
    if (facts.windowId !== undefined) hide(this, { windowId: facts.windowId })
    if (cause !== undefined) hide(this, { cause })
  }

  /** Returns the name, the message and all known facts for logs, without the cause. */
  toJSON(): object {
    return Object.assign({ name: this.name, message: this.message }, this)
  }
}

/**
 * Base class for refusals of other users' work.
 *
 * HTTP frameworks send `statusCode`, `headers` and `message` (Fastify) or `stack` (Express) of an unhandled
 * error to the client. Message and stack therefore contain neither the maintainer nor the reason.
 * `detailedMessage`, `toString()` and the printed error do.
 */
export abstract class RefusalError extends MaintenanceError {
  /** The message with the maintainer, the reason and the refused changes, for those who run the system. */
  declare readonly detailedMessage: string

  constructor(message: string, facts: RefusalFacts & { detailedMessage?: string | undefined } = {}) {
    super(message, facts)
    hide(this, { detailedMessage: printable(facts.detailedMessage ?? message) })
  }

  /** The HTTP status: Service Unavailable. */
  get status(): 503 {
    return 503
  }

  /** The same under the name that most frameworks use. */
  get statusCode(): 503 {
    return this.status
  }

  /** Headers for a response: `retry-after` in seconds, if the end of the window is known. */
  get headers(): { readonly "retry-after": string } | undefined {
    if (this.retryAfterMs === undefined) return undefined
    return { "retry-after": String(Math.max(1, Math.ceil(this.retryAfterMs / 1000))) }
  }

  /** Whether the message is meant for the client, as defined by `http-errors`. */
  get expose(): false {
    return false
  }

  override toString(): string {
    return `${this.name}: ${this.detailedMessage}`
  }

  /**
   * Prints a few lines: the application's stack frames, if there are any, and the known facts of the window.
   */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const frames = this.stack?.split("\n").filter((line) => /^\s+at /.test(line)) ?? []
    const ofApplication = frames.filter((frame) => !/node_modules|node:/.test(frame))
    const shown = (ofApplication.length > 0 ? ofApplication : frames).slice(0, maxFrames)
    const facts = inspect({ ...this }, { ...options, breakLength: Number.POSITIVE_INFINITY, compact: true })
    return [String(this).replaceAll(/\s+/g, " "), ...shown, `  ${facts}`].join("\n")
  }
}

/** Number of stack frames that are printed for a refusal. */
const maxFrames = 6

/** Sets properties that readers find by name and loggers do not print. */
function hide(error: Error, properties: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(error, name, { value, enumerable: false, writable: true, configurable: true })
  }
}

/** Thrown when another user's change was rolled back because the system is in concurrent maintenance. */
export class WriteVetoedError extends RefusalError {
  readonly code = "MAINTENANCE_WRITE_VETOED"
  /**
   * The changes that the ORM made in the refused transaction. Empty for plain SQL, and for a statement
   * outside a transaction that was sent before this process knew of the window.
   */
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

/** Thrown when a window denies the current user a connection. */
export class AccessRefusedError extends RefusalError {
  readonly code = "MAINTENANCE_ACCESS_REFUSED"

  override get name(): string {
    return "AccessRefusedError"
  }
}

/** The `during()` that prevents another one of the same user from beginning. */
export interface RunningTask {
  /** Host and process id of the process that runs it; undefined where instances are not known. */
  readonly host: string | undefined
  readonly pid: number | undefined
  /** Time at which its window began, on the database's clock. */
  readonly since: Date | undefined
  /** Whether that process is gone, permanently or briefly. */
  readonly isGone: boolean
  /** Id of its instance. */
  readonly instance: number | undefined
}

/**
 * Thrown when a mode was not changed: another user holds or has announced a window, or another task is
 * running.
 */
export class NotMaintainerError extends MaintenanceError {
  readonly code = "MAINTENANCE_NOT_MAINTAINER"
  /** The running task, if that prevented the change. */
  declare readonly task: RunningTask | undefined

  constructor(message: string, facts: RefusalFacts & { task?: RunningTask | undefined } = {}) {
    super(message, facts)
    if (facts.task) this.task = facts.task
  }

  override get name(): string {
    return "NotMaintainerError"
  }
}

/**
 * Thrown when your window is over: it expired, or a user ended it. `mode`, `maintainer` and the other facts
 * describe the present window.
 */
export class WindowEndedError extends MaintenanceError {
  readonly code = "MAINTENANCE_WINDOW_ENDED"
  /** The way in which it ended; undefined if that could not be read. */
  declare readonly endedBecause: EndedBecause | undefined
  /** The user who ended it; undefined if no user did, for example when it expired. */
  declare readonly endedBy: string | undefined
  /** Time at which it ended, on the database's clock. */
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

/**
 * Thrown when in-flight transactions did not end in time. After `enter()`, the mode is what it was before.
 */
export class DrainTimeoutError extends MaintenanceError {
  readonly code = "MAINTENANCE_DRAIN_TIMEOUT"
  /** The blockers, oldest first. Not printed: the message names them, without their SQL. */
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
 * Thrown when a mode was entered but its drain was interrupted: the database was unreachable for minutes, or
 * the DataSource was destroyed. After `enter()` the window stands. `during()` has ended it again and has not
 * run its work.
 */
export class EnteringInterruptedError extends MaintenanceError {
  readonly code = "MAINTENANCE_ENTERING_INTERRUPTED"

  override get name(): string {
    return "EnteringInterruptedError"
  }
}

/**
 * Thrown when the connection was lost before the database answered a change of the mode. The change may or
 * may not have been made. Look at `status()` before you retry.
 */
export class OutcomeUnknownError extends MaintenanceError {
  readonly code = "MAINTENANCE_OUTCOME_UNKNOWN"

  override get name(): string {
    return "OutcomeUnknownError"
  }
}

/**
 * Thrown when the state could temporarily not be read or changed, and nothing was done. Either the database
 * did not answer, or other sessions have locked the state, or the DataSource is destroyed. Retry later.
 */
export class StateUnavailableError extends MaintenanceError {
  readonly code = "MAINTENANCE_STATE_UNAVAILABLE"
  /**
   * Whether the DataSource was destroyed, or maintenance mode uninstalled. Initialize it before you retry.
   */
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

/**
 * Thrown when the installation is wrong and a person must act: the DataSource, a version, the schema, a
 * privilege or an option.
 */
export class MaintenanceSetupError extends MaintenanceError {
  readonly code = "MAINTENANCE_SETUP"

  override get name(): string {
    return "MaintenanceSetupError"
  }
}

/**
 * Thrown when a call makes no sense as it stands. Nothing was changed. `mode` is `normal` if there was no
 * window to change.
 */
export class MaintenanceInputError extends MaintenanceError {
  readonly code = "MAINTENANCE_INPUT"

  override get name(): string {
    return "MaintenanceInputError"
  }
}
