import type { StampedState } from "../mode/status"

/** Time within which the instances notice that a window has expired, so that they do not all at once. */
const expirySpreadMs = 100
/** Longest time without a read while the state restricts somebody, so that a connection that went dead in silence is noticed. */
const lookAgainMs = 5000
/** The same while it restricts nobody: it is a connection's only traffic then. */
const lookAgainIdleMs = 30_000
/** Interval at which a read, or giving the state a stamp, is retried while others have locked it. */
const mendAgainMs = 250

/** The next read of the state, if nothing is heard before. Keeps no process alive. */
export class NextLook {
  readonly #look: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(look: () => void) {
    this.#look = look
  }

  /** After a state that was read: when its window expires, which ends it for everybody, or is overdue; of many, some later than others. */
  after({ status, stamp, overdueAt, endsAt }: StampedState, isStandby: boolean): void {
    const spreadMs = Math.random() * expirySpreadMs
    const waits = [
      // Not all instances at once, for they have all read it when it began.
      (status.mode === "normal" ? lookAgainIdleMs : lookAgainMs) * (0.5 + Math.random() / 2),
      stamp === undefined && !isStandby ? mendAgainMs : undefined,
      endsAt && Math.max(0, endsAt - performance.now()) + spreadMs,
      overdueAt && Math.max(0, overdueAt - performance.now()) + spreadMs,
    ].filter((ms) => ms !== undefined)
    this.#in(Math.min(...waits))
  }

  /** While others have locked the state. */
  soon(): void {
    this.#in(mendAgainMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #in(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#look, ms).unref()
  }
}
