import type { Instance } from "./instance"
import type { Mode } from "./mode"
import type { AnnouncedWindow, MaintenanceWindow } from "./window"

/** The state of the maintenance, as the database has it. */
export interface MaintenanceStatus {
  /** What others than the maintainer may do now. */
  readonly mode: Mode
  /** The window that is in force: names it in `windows`, and later in the journal; absent in normal mode. */
  readonly windowId?: string
  /** The user who entered the maintenance; absent in normal mode. */
  readonly maintainer?: string
  /** Why, as the maintainer said on entering. */
  readonly reason?: string
  /** What the public is told, as the maintainer said on entering. */
  readonly message?: string
  /** When the maintenance began, on the database's clock; absent in normal mode. */
  readonly since?: Date
  /** When the maintainer expects to be done, on the database's clock; absent if nothing was said of that. */
  readonly plannedUntil?: Date
  /** Whether that is past; absent in normal mode, and if nothing was said of it. */
  readonly isOverdue?: boolean
  /** When the window ends by itself, on the database's clock; absent if it does not. */
  readonly expiresAt?: Date
  /**
   * In how many milliseconds after this was read the window ends by itself, or else is planned to end, as for the header `Retry-After`;
   * absent if neither is known, or the plan is overdue.
   */
  readonly retryAfterMs?: number
  /**
   * How many milliseconds the window goes on when nothing is heard of the process that it is tied to (`heldWhile: "alive"`);
   * absent if it is tied to none.
   */
  readonly graceMs?: number
  /** How many connections of each instance others than the maintainer may use; absent if that is not bounded. */
  readonly readers?: number
  /** The window that is to begin next; absent if there is none. */
  readonly announced?: AnnouncedWindow
  /** Counts the changes of the state; a larger number is a later state. */
  readonly epoch: number
}

/** The state of the maintenance, and who takes part. */
export interface MaintenanceReport extends MaintenanceStatus {
  /**
   * The mode, or `entering` while `enter()` waits for what others had running. The mode restricts from the beginning of
   * that on.
   */
  readonly state: Mode | "entering"
  /**
   * Whether who entered the mode was gone before that was done: then the mode stands, and what others had running may be
   * running still. Or whether the process of the `during()` whose window this is, is gone, for ever or for a moment.
   */
  readonly isInterrupted: boolean
  /** All windows that are not over: those that have begun, the one in force last, then those that are announced. */
  readonly windows: readonly MaintenanceWindow[]
  /** The processes whose watch is connected. None are known to a read replica. */
  readonly instances: readonly Instance[]
}

/** What `enter()` has brought about. */
export interface Entered extends MaintenanceStatus {
  /**
   * The instances that have not told in time that they know the new mode. They cannot write either, and in exclusive mode
   * their reads are refused by the server.
   */
  readonly unacknowledged: readonly Instance[]
}

/** A state that was read, and the name that the database has for it among all that ever were. */
export interface StampedState {
  readonly status: MaintenanceStatus
  /** All that are not over, if they were asked for; at least those that are announced. */
  readonly windows: readonly MaintenanceWindow[]
  /**
   * Digits. No other state ever has the same. Undefined if it is not what transactions see: then they are to read the
   * state itself.
   */
  readonly stamp: string | undefined
  /** When it was read, as `performance.now()` tells the time. */
  readonly readAt: number
  /** When it will be overdue, by that time; undefined if it is, or will not be. */
  readonly overdueAt: number | undefined
  /** When the window ends by itself, by that time, at the earliest; undefined if it does not. */
  readonly endsAt: number | undefined
  /** The same on the database's clock, in milliseconds since 1970. */
  readonly endsAtMs: number | undefined
}
