import type { StampedState } from "../mode/status"

/** Time over which the instances' reads after an expiry are spread, in milliseconds. */
const expirySpreadMs = 100
/**
 * Longest time without a read while a window restricts other users, in milliseconds. It bounds how long a
 * silently dead connection goes unnoticed.
 */
const lookAgainMs = 5000
/** The same in normal mode, where these reads are the connection's only traffic. */
const lookAgainIdleMs = 30_000
/** Interval at which a read, or the stamping of the state, is retried while it is locked, in milliseconds. */
const mendAgainMs = 250

/**
 * The timer for the next read of the state, should no notification come first. Does not keep the process
 * alive.
 */
export class NextLook {
  readonly #look: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(look: () => void) {
    this.#look = look
  }

  /**
   * Schedules a read after a state was read: at the latest when its window expires or becomes overdue. The
   * instances' times are spread.
   */
  after({ status, stamp, overdueAt, endsAt }: StampedState, isStandby: boolean): void {
    const spreadMs = Math.random() * expirySpreadMs
    const waits = [
      // Spread, because all instances have read the state at the same moment, when the window began.
      (status.mode === "normal" ? lookAgainIdleMs : lookAgainMs) * (0.5 + Math.random() / 2),
      stamp === undefined && !isStandby ? mendAgainMs : undefined,
      endsAt && Math.max(0, endsAt - performance.now()) + spreadMs,
      overdueAt && Math.max(0, overdueAt - performance.now()) + spreadMs,
    ].filter((ms) => ms !== undefined)
    this.#in(Math.min(...waits))
  }

  /** Schedules a read while the state is locked. */
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
