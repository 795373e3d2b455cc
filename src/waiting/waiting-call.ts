import type { AccessRefusedError, WriteVetoedError } from "../errors"
import { maxDurationMs } from "../input"
import { isFinal } from "../state/persistence"
import { failureFor, isRefusal } from "./waiting-failure"

/** Time between two looks if nothing is heard, in milliseconds. */
const lookAgainMs = 5000
/** Time between two looks while the database cannot be reached, in milliseconds. */
const askAgainMs = 1000
/** Minimum time for which the database may take to answer, in milliseconds, also at the end of the wait. */
const answerWithinMs = 1000
/** Time within which all calls look after a change, in milliseconds, so that they do not look at once. */
const spreadMs = 250

/** The parts of a polling call. */
export interface WaitingCallParts {
  /** Returns the refusal if the call may not write now. */
  readonly ask: () => Promise<WriteVetoedError | AccessRefusedError | undefined>
  readonly timeoutMs: number
  /** Called once, when the call may write, or with the error with which it ends. */
  readonly ended: (error: unknown) => void
}

/**
 * One call of `whenWritable()`, which reads the state again and again until the call may write. There may be
 * thousands, so it costs one timer.
 */
export class WaitingCall {
  /** The reason why the call may not write: a refusal, or why the state cannot be read. */
  obstacle: Error | undefined
  readonly #parts: WaitingCallParts
  readonly #deadline: number
  #timer: NodeJS.Timeout | undefined
  #isLooking = false
  /** Whether it looks soon, because something has changed. */
  #isDue = false
  #isOver = false

  constructor(parts: WaitingCallParts) {
    this.#parts = parts
    this.#deadline = performance.now() + parts.timeoutMs
  }

  /** Looks now, and then again and again. */
  look(): void {
    const { ask, timeoutMs } = this.#parts
    this.#isLooking = true
    this.#isDue = false
    if (timeoutMs <= maxDurationMs) {
      const patienceMs = Math.max(this.#leftMs, answerWithinMs)
      const silence = () => this.#answered(new Error(`it has not answered for ${Math.round(patienceMs)} ms`))
      this.#timer = setTimeout(silence, patienceMs)
    }
    ask().then(
      (refusal) => this.#answered(refusal),
      // An error of this package does not pass by itself.
      (error: Error) => (isFinal(error) ? this.#end(error) : this.#answered(error)),
    )
  }

  /** Schedules a look within 250 ms, because the state has changed. */
  changed(): void {
    if (this.#isDue) return
    this.#isDue = true
    if (!this.#isLooking) this.#lookIn(Math.random() * spreadMs)
  }

  /** Stops looking. */
  stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  get #leftMs(): number {
    return Math.max(0, this.#deadline - performance.now())
  }

  #end(error?: unknown): void {
    if (this.#isOver) return
    this.stop()
    this.#parts.ended(error)
  }

  #answered(obstacle: Error | undefined): void {
    if (this.#isOver) return
    this.#isLooking = false
    this.obstacle = obstacle
    if (!obstacle) return this.#end()
    if (this.#leftMs === 0) return this.#end(failureFor(obstacle, this.#parts.timeoutMs))
    // Without a change, too: nothing is heard while the watch is disconnected.
    const laterMs = isRefusal(obstacle) ? lookAgainMs : askAgainMs * (0.5 + Math.random())
    this.#lookIn(this.#isDue ? Math.random() * spreadMs : laterMs)
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.look(), Math.min(ms, this.#leftMs))
  }
}
