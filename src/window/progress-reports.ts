import { StateUnavailableError } from "../errors"
import type { Actor } from "../mode/actor"
import type { Progress } from "../mode/progress"
import { isPassing } from "../state/persistence"

/** Shortest time between two reports to the database, in milliseconds. */
const everyMs = 1000

/**
 * Sends the progress of a maintainer's work to the database, at most once a second: of several reports in that time,
 * the last.
 */
export class ProgressReports {
  readonly #send: (progress: Progress, actor: Actor) => Promise<void>
  #sentAt = Number.NEGATIVE_INFINITY
  #waiting: [progress: Progress, actor: Actor] | undefined
  #next: NodeJS.Timeout | undefined
  #windowId: string | undefined

  constructor(send: (progress: Progress, actor: Actor) => Promise<void>) {
    this.#send = send
  }

  /**
   * Sends a report at once, or keeps it for up to a second. A database that does not answer is not an error: the work
   * goes on, and the next report may arrive.
   */
  async report(progress: Progress, actor: Actor): Promise<void> {
    const isFirst = this.#next === undefined && performance.now() - this.#sentAt >= everyMs
    if (isFirst) return this.#sendNow(progress, actor)
    this.#waiting = [progress, actor]
    this.#next ??= setTimeout(() => this.#sendWaiting(), everyMs).unref()
  }

  /** Drops a report that waits, if the window in force is another one now: it is not about that. */
  changed(windowId: string | undefined): void {
    if (windowId !== this.#windowId) this.stop()
    this.#windowId = windowId
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
    // A refusal is thrown by the next report.
    if (waiting) this.#sendNow(...waiting).catch(() => undefined)
  }

  async #sendNow(progress: Progress, actor: Actor): Promise<void> {
    this.#sentAt = performance.now()
    try {
      await this.#send(progress, actor)
    } catch (error) {
      if (!(error instanceof StateUnavailableError || isPassing(error))) throw error
    }
  }
}
