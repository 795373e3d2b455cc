import type { DrainOutcome } from "./drain-outcome"
import type { Mode } from "./mode"
import type { ReportedProgress } from "./progress"

/** A window that begins later. It does not restrict anyone yet. */
export interface AnnouncedWindow {
  /** Id to pass to `cancel()`. */
  readonly id: string
  readonly mode: Exclude<Mode, "normal">
  /** The user who will hold it. */
  readonly maintainer: string
  readonly reason?: string
  /** The message for the public. */
  readonly message?: string
  /** Time at which it begins, on the database's clock. */
  readonly startsAt: Date
  /** Milliseconds from this reading until it begins. */
  readonly startsInMs: number
  /** Milliseconds from its beginning until it ends by itself; absent if not given. */
  readonly expiresInMs?: number
  /** Time at which the maintainer expects to be done, on the database's clock; absent if not given. */
  readonly plannedUntil?: Date
  /**
   * Whether the process whose call waits for it is gone, permanently or briefly. Another instance then begins
   * it. The window of a `during()` does not begin in that case.
   */
  readonly isInterrupted: boolean
}

/**
 * A window that has begun and is not over. Windows are stacked: the last is in force, and when it ends, the
 * one below is in force again.
 */
export interface OpenWindow {
  /** Id of the window. */
  readonly id: string
  /** `entering` while the drain waits for in-flight transactions; then `standing`. */
  readonly position: "entering" | "standing"
  readonly mode: Exclude<Mode, "normal">
  readonly maintainer: string
  readonly reason?: string
  /** The message for the public. */
  readonly message?: string
  /** Start of the maintenance to which it belongs, on the database's clock. */
  readonly since: Date
  /** Start of this window, on the database's clock. */
  readonly begunAt: Date
  /** Time at which its drain was complete, on the database's clock; absent until then. */
  readonly enteredAt?: Date
  /** Time at which the maintainer expects to be done, on the database's clock; absent if not given. */
  readonly plannedUntil?: Date
  /** Time at which it ends by itself, on the database's clock; absent if it does not. */
  readonly expiresAt?: Date
  /**
   * Milliseconds for which it outlasts the last sign of life of its process; absent if it is tied to no
   * process.
   */
  readonly graceMs?: number
  /** Number of connections of each instance that other users may use; absent if there is no limit. */
  readonly readers?: number
  /**
   * Time at which its drain is over, on the database's clock; absent once it stands, and if it waits only for commits
   * under way.
   */
  readonly drainsUntil?: Date
  /** The outcome for the transactions that are still open at that time; absent when `drainsUntil` is. */
  readonly drainsThen?: DrainOutcome
  /** The progress that its maintainer reported last; absent if there is none. */
  readonly progress?: ReportedProgress
  /** Whether it belongs to a `during()`. */
  readonly isTask: boolean
  /**
   * Host of the process that has entered it or runs its task; absent if that process was no instance, and for
   * a window that was handed over.
   */
  readonly host?: string
  /** Process id of that process. */
  readonly pid?: number
  /**
   * Whether nobody waits for the drain to complete, or the process of its `during()` is gone, permanently or
   * briefly.
   */
  readonly isInterrupted: boolean
}

/** A window that is not over: begun or announced. */
export type MaintenanceWindow = OpenWindow | (AnnouncedWindow & { readonly position: "announced" })

/** Whether a window is announced and has not begun. */
export function isAnnounced(
  window: MaintenanceWindow,
): window is Extract<MaintenanceWindow, { position: "announced" }> {
  return window.position === "announced"
}
