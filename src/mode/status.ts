import type { Instance } from "./instance"
import type { Mode } from "./mode"
import type { ReportedProgress } from "./progress"
import type { AnnouncedWindow, MaintenanceWindow } from "./window"

/** The state of the maintenance, as stored in the database. */
export interface MaintenanceStatus {
  /** The mode in force, which decides what other users may do. */
  readonly mode: Mode
  /** Id of the window in force, the same as in `windows` and later in the journal; absent in normal mode. */
  readonly windowId?: string
  /** The user who entered the maintenance; absent in normal mode. */
  readonly maintainer?: string
  /** The reason that the maintainer gave on entering. */
  readonly reason?: string
  /** The message for the public that the maintainer gave on entering. */
  readonly message?: string
  /** Start of the maintenance, on the database's clock; absent in normal mode. */
  readonly since?: Date
  /** Time at which the maintainer expects to be done, on the database's clock; absent if not given. */
  readonly plannedUntil?: Date
  /** Whether `plannedUntil` is past; absent in normal mode, and without a `plannedUntil`. */
  readonly isOverdue?: boolean
  /** Time at which the window ends by itself, on the database's clock; absent if it does not. */
  readonly expiresAt?: Date
  /**
   * Milliseconds from this reading until the window ends by itself, or else until its planned end, as for the
   * header `Retry-After`. Absent if neither is known, or the plan is overdue.
   */
  readonly retryAfterMs?: number
  /**
   * Milliseconds for which the window outlasts the last sign of life of its process (`heldWhile: "alive"`);
   * absent if it is tied to no process.
   */
  readonly graceMs?: number
  /** Number of connections of each instance that other users may use; absent if there is no limit. */
  readonly readers?: number
  /** The window that begins next; absent if none is announced. */
  readonly announced?: AnnouncedWindow
  /** Number of changes of the state; a larger number is a later state. */
  readonly epoch: number
}

/** The state of the maintenance, with its windows and instances. Returned by `status()`. */
export interface MaintenanceReport extends MaintenanceStatus {
  /**
   * The mode, or `entering` while `enter()` waits for in-flight transactions. The mode already restricts
   * other users during that time.
   */
  readonly state: Mode | "entering"
  /**
   * Whether the process behind the window in force is gone. Either of these is true:
   *
   * - The process that entered the window no longer waits for its drain. The mode is in force, but in-flight
   *   transactions may still be running.
   * - The process that runs the work of its `during()` is gone, permanently or briefly.
   */
  readonly isInterrupted: boolean
  /** The progress that the maintainer reported last in the window in force; absent if there is none. */
  readonly progress?: ReportedProgress
  /** All windows that are not over: the begun ones, with the one in force last, then the announced ones. */
  readonly windows: readonly MaintenanceWindow[]
  /** The instances whose watch is connected. A read replica knows none. */
  readonly instances: readonly Instance[]
}

/** The result of `enter()`. */
export interface Entered extends MaintenanceStatus {
  /**
   * Instances that have not acknowledged the new mode in time. Their writes are still refused, and in
   * exclusive mode the server refuses their reads.
   */
  readonly unacknowledged: readonly Instance[]
}

/** A state that was read, with the stamp that tells it from every other state. */
export interface StampedState {
  readonly status: MaintenanceStatus
  /** All windows that are not over, if they were requested; otherwise at least the announced ones. */
  readonly windows: readonly MaintenanceWindow[]
  /**
   * The stamp in digits, never shared by two states. Undefined if transactions see another state: then they
   * have to read it themselves.
   */
  readonly stamp: string | undefined
  /** Time of the reading, as given by `performance.now()`. */
  readonly readAt: number
  /**
   * Time at which the window becomes overdue, on the same clock; undefined if it already is, or never will
   * be.
   */
  readonly overdueAt: number | undefined
  /** Earliest time at which the window ends by itself, on the same clock; undefined if it does not. */
  readonly endsAt: number | undefined
  /** The same time on the database's clock, in milliseconds since 1970. */
  readonly endsAtMs: number | undefined
}
