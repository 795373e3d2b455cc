import type { EndedBecause } from "./ending"
import type { RefusedChange } from "./refused-change"
import type { Mode } from "./mode"

/** What a window has refused, by what the ORM was to change. */
export interface RefusalCount {
  /** The entity's name; absent for reads, and for what was changed by plain SQL. */
  readonly entity?: string
  /** What was to be done with it; absent where the entity is. */
  readonly operation?: RefusedChange["operation"]
  /** How many transactions. One that changed several entities counts for each of them. */
  readonly count: number
}

/** A window that is over. */
export interface PastWindow {
  /** Names it, as `windows` and `windowId` of the status did. */
  readonly id: string
  readonly mode: Exclude<Mode, "normal">
  readonly maintainer: string
  readonly reason?: string
  /** The text for the public. */
  readonly message?: string
  /** When it was to begin, on the database's clock; absent if it was not announced. */
  readonly startsAt?: Date
  /** When the maintenance began that it was a part of, on the database's clock; absent if it never began. */
  readonly since?: Date
  /** When this window began, on the database's clock; absent if it never did. */
  readonly begunAt?: Date
  /** When its drain was done, on the database's clock; absent if it never was. */
  readonly enteredAt?: Date
  /** When it ended, on the database's clock. */
  readonly endedAt: Date
  /** How it ended. */
  readonly endedBecause: EndedBecause
  /** The user who ended it; absent if nobody did, or nobody knows. */
  readonly endedBy?: string
  /** Duration of the drain, in milliseconds; absent if it was never done, and for a window that was handed over. */
  readonly drainMs?: number
  /** What it refused, the most frequent first; told by each process within 10 seconds. */
  readonly refusals: readonly RefusalCount[]
}

/** Options for `journal()`. */
export interface JournalOptions {
  /** Windows that ended at this time or later, on the database's clock. Default: all that are kept. */
  since?: Date | undefined
  /** Maximum number of windows, 1 to 1000. Default: 100. */
  limit?: number | undefined
}
