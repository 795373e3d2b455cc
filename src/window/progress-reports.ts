import { StateUnavailableError } from "../errors"
import type { Actor } from "../mode/actor"
import type { Progress } from "../mode/progress"
import { isPassing } from "../state/persistence"

/** Shortest time between two reports to the database, in milliseconds. */
const everyMs = 1000

/** A report, and the window that was in force when it was made. */
interface Report {
  readonly progress: Progress
  readonly actor: Actor
  readonly windowId: string | undefined
}

/** The parts that `ProgressReports` needs. */
export interface ProgressParts {
  /** Sends a report to the database. */
  send(progress: Progress, actor: Actor): Promise<void>
  /** The window in force, as this process knows it. */
  windowId(): string | undefined
}

/**
 * Sends the progress of a maintainer's work to the database, at most once a second: of several reports in that time,
 * the last.
 */
export class ProgressReports {
  readonly #parts: ProgressParts
  #sentAt = Number.NEGATIVE_INFINITY
  #waiting: Report | undefined
  #next: NodeJS.Timeout | undefined
  /** The refusal of a report that waited, for the next caller. */
  #failure: { readonly error: unknown } | undefined

  constructor(parts: ProgressParts) {
    this.#parts = parts
  }

  /**
   * Sends a report at once, or keeps it for up to a second. A database that does not answer is not an error: the work
   * goes on, and the next report may arrive.
   */
  async report(progress: Progress, actor: Actor): Promise<void> {
    const failure = this.#failure
    this.#failure = undefined
    if (failure) throw failure.error
    const report = { progress, actor, windowId: this.#parts.windowId() }
    const isFirst = this.#next === undefined && performance.now() - this.#sentAt >= everyMs
    // The report of another user must not displace one that waits.
    const isOfAnother = this.#waiting !== undefined && this.#waiting.actor.user !== actor.user
    if (isFirst || isOfAnother) return this.#send(report)
    this.#waiting = report
    this.#next ??= setTimeout(() => this.#sendWaiting(), everyMs).unref()
  }

  /** Drops a report that waits. */
  stop(): void {
    clearTimeout(this.#next)
    this.#next = undefined
    this.#waiting = undefined
  }

  #sendWaiting(): void {
    const waiting = this.#waiting
    this.stop()
    // A report about a window that is no longer in force is not about the one that is.
    if (!waiting || waiting.windowId !== this.#parts.windowId()) return
    this.#send(waiting).catch((error: unknown) => (this.#failure = { error }))
  }

  async #send({ progress, actor }: Report): Promise<void> {
    this.#sentAt = performance.now()
    try {
      await this.#parts.send(progress, actor)
    } catch (error) {
      if (!(error instanceof StateUnavailableError || isPassing(error))) throw error
    }
  }
}
