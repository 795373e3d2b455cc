import { onAborted } from "../state/abort-listeners"
import type { AccessRefusedError, WriteVetoedError } from "../errors"
import { maxDurationMs } from "../input"
import { isFinal } from "../state/persistence"
import { failureFor, isRefusal } from "./waiting-failure"

/** How often to look whether one may write, if nothing is heard. */
const lookAgainMs = 5000
/** How often to ask again while the database cannot be reached. */
const askAgainMs = 1000
/** How long the database may take to answer, though the time is over. */
const answerWithinMs = 1000
/** Within what time after a change the calls look, so that they do not all at once. */
const spreadMs = 250

/** What a call that waits needs. */
export interface WaitingCallOptions {
  /** The refusal, if the call may not write now. */
  readonly ask: () => Promise<WriteVetoedError | AccessRefusedError | undefined>
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  /** Told with what the call has ended: an error, or nothing. */
  readonly ended: (error: unknown) => void
}

/** One call that waits until it may write. There may be thousands, so it costs a timer, and no AbortController. */
export class WaitingCall {
  /** What keeps it from writing: a refusal, or why the database cannot be asked. */
  obstacle: Error | undefined
  readonly #options: WaitingCallOptions
  readonly #deadline: number
  readonly #stopListening: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #isLooking = false
  /** Whether it looks soon, because something has changed. */
  #isDue = false
  #isOver = false

  constructor(options: WaitingCallOptions) {
    const { timeoutMs, signal } = options
    this.#options = options
    this.#deadline = performance.now() + timeoutMs
    this.#stopListening = signal && onAborted(signal, () => this.end(signal.reason))
  }

  /** Looks now, and then again and again. */
  look(): void {
    const { ask, timeoutMs } = this.#options
    this.#isLooking = true
    this.#isDue = false
    if (timeoutMs <= maxDurationMs) {
      const patienceMs = Math.max(this.#leftMs, answerWithinMs)
      const silence = () => this.#answered(new Error(`it has not answered for ${Math.round(patienceMs)} ms`))
      this.#timer = setTimeout(silence, patienceMs)
    }
    ask().then(
      (refusal) => this.#answered(refusal),
      // What this package says does not pass by itself.
      (error: Error) => (isFinal(error) ? this.end(error) : this.#answered(error)),
    )
  }

  /** Something has changed: it looks soon. */
  changed(): void {
    if (this.#isDue) return
    this.#isDue = true
    if (!this.#isLooking) this.#lookIn(Math.random() * spreadMs)
  }

  /** Ends the waiting: with an error, or because it may write. */
  end(error?: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#stopListening?.()
    this.#options.ended(error)
  }

  get #leftMs(): number {
    return Math.max(0, this.#deadline - performance.now())
  }

  #answered(obstacle: Error | undefined): void {
    if (this.#isOver) return
    this.#isLooking = false
    this.obstacle = obstacle
    if (!obstacle) return this.end()
    if (this.#leftMs === 0) return this.end(failureFor(obstacle, this.#options.timeoutMs))
    // Not for ever: while the watch is cut off nothing is heard.
    const laterMs = isRefusal(obstacle) ? lookAgainMs : askAgainMs * (0.5 + Math.random())
    this.#lookIn(this.#isDue ? Math.random() * spreadMs : laterMs)
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.look(), Math.min(ms, this.#leftMs))
  }
}
