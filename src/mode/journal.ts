import type { EndedBecause } from "./ending"
import type { RefusedChange } from "./refused-change"
import type { Mode } from "./mode"

/** Refusals of one window, counted by the change that the ORM attempted. */
export interface RefusalCount {
  /** Name of the entity; absent for reads, and for changes made by plain SQL. */
  readonly entity?: string
  /** The attempted operation; absent where the entity is. */
  readonly operation?: RefusedChange["operation"]
  /**
   * Number of transactions. A transaction counts once for each entity and operation that it changed. Without an entity,
   * number of refusals.
   */
  readonly count: number
}

/** Refusals of one minute and one window, counted by the change that the ORM attempted. */
export interface MinuteOfRefusals extends RefusalCount {
  /** Start of the minute, on the clock of the process that refused. */
  readonly minute: Date
  /** Id of the window that was in force. */
  readonly windowId: string
}

/** Options for `refusals()`. */
export interface RefusalsOptions {
  /** Earliest minute to return, at most 7 days ago. Default: an hour ago. */
  since?: Date | undefined
}

/** A window that is over. */
export interface PastWindow {
  /** Id of the window, the same as in `windows` and `windowId` of the status. */
  readonly id: string
  readonly mode: Exclude<Mode, "normal">
  readonly maintainer: string
  readonly reason?: string
  /** The text for the public. */
  readonly message?: string
  /** Time for which it was announced, on the database's clock; absent if it was not announced. */
  readonly startsAt?: Date
  /** Start of the maintenance to which it belonged, on the database's clock; absent if it never began. */
  readonly since?: Date
  /** Start of this window, on the database's clock; absent if it never began. */
  readonly begunAt?: Date
  /** Time at which its drain was complete, on the database's clock; absent if it never was. */
  readonly enteredAt?: Date
  /** Time at which it ended, on the database's clock. */
  readonly endedAt: Date
  /** The way in which it ended. */
  readonly endedBecause: EndedBecause
  /** The user who ended it; absent if no user did, or if the user is not known. */
  readonly endedBy?: string
  /**
   * Duration of the drain in milliseconds; absent if it never completed, and for a window that was handed
   * over.
   */
  readonly drainMs?: number
  /** Its refusals, most frequent first. Each process reports its own within 10 seconds. */
  readonly refusals: readonly RefusalCount[]
}

/** Options for `journal()`. */
export interface JournalOptions {
  /**
   * Earliest end of the windows to return, on the database's clock. Default: the beginning of the journal.
   */
  since?: Date | undefined
  /** Maximum number of windows, 1 to 1000. Default: 100. */
  limit?: number | undefined
  /**
   * Id of a window of the journal: returns those that follow it, to read the journal page by page. If that window is
   * no longer kept, none follows it. Default: begins with the window that ended last.
   */
  before?: string | undefined
}
