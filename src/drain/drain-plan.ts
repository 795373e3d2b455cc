import type { Blocker, Sight } from "../mode/blocker"
import type { DrainOutcome } from "../mode/drain-outcome"

/** The time to wait for in-flight transactions, and the outcome after that. */
export interface DrainPlan {
  readonly withinMs: number
  readonly outcome: DrainOutcome
  /**
   * With `proceed`, the time to wait for commits under way, which can no longer be refused. After that, the
   * window is abandoned.
   */
  readonly commitsWithinMs: number
}

/** The progress of a drain. */
export interface Draining {
  /** The blockers, oldest first. */
  readonly blockers: readonly Blocker[]
  /** Time waited so far, in milliseconds. */
  readonly waitedMs: number
  /** End of the waiting, by the clock of this process. */
  readonly deadline: Date
}

/** The operations that a drain works with. */
export interface Drained {
  /** Finds the blockers: transactions that were open at the first look, and those of the holders. */
  look(holders: readonly number[]): Promise<Sight>
  end(blocker: Blocker, how: "cancel" | "terminate"): Promise<void>
  /**
   * The backends whose transactions have already passed their fence, so that they can no longer be refused; 0
   * stands for prepared transactions. Throws if the window was ended meanwhile.
   */
  holders(): Promise<number[]>
  /**
   * Asks the instances to report again which backends act for the maintainer, since those may have begun a
   * transaction. Resolves when all know the window and have reported, or the time is over.
   */
  inform(): Promise<unknown>
  report(draining: Draining): void
}
