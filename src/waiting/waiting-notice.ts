import { warn } from "../notices"

/** The reason for which calls wait, for a warning. */
export interface WaitingReason {
  /** Identifies what they wait for: there is one warning for each. */
  readonly of: string
  /**
   * Whether it is reported again when no call has waited in between. Windows have names, outages have none.
   */
  readonly isPassing?: boolean
  /** The rest of the sentence after "2 calls wait". */
  readonly text: string
}

/** Delay before the warning about waiting calls, in milliseconds. */
const warnAfterMs = 5000

/** Warns about calls that have waited for a while, which the log would not show otherwise. */
export class WaitingNotice<Waiting> {
  readonly #describe: (longest: Waiting) => WaitingReason | undefined
  /** The beginning of each wait, the longest one first. */
  readonly #since = new Map<Waiting, number>()
  #next: NodeJS.Timeout | undefined
  #warnedOf: string | undefined
  #isPassing = false

  /** `describe` returns what the longest waiting call waits for; undefined if that is over. */
  constructor(describe: (longest: Waiting) => WaitingReason | undefined) {
    this.#describe = describe
  }

  /** A call begins to wait. */
  begin(waiting: Waiting): void {
    this.#since.set(waiting, performance.now())
    this.#next ??= this.#lookIn(warnAfterMs)
  }

  /** A call no longer waits. */
  end(waiting: Waiting): void {
    this.#since.delete(waiting)
    if (this.#since.size > 0) return
    if (this.#isPassing) this.#warnedOf = undefined
    clearTimeout(this.#next)
    this.#next = undefined
  }

  #lookIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      const [longest] = this.#since
      if (!longest) return
      const [waiting, since] = longest
      const leftMs = since + warnAfterMs - performance.now()
      if (leftMs <= 0) this.#warn(waiting)
      // By then there may be another window, or a call that waits for another reason.
      this.#next = this.#lookIn(leftMs > 0 ? leftMs : warnAfterMs)
    }, ms).unref()
  }

  #warn(longest: Waiting): void {
    const reason = this.#describe(longest)
    if (!reason || reason.of === this.#warnedOf) return
    this.#warnedOf = reason.of
    this.#isPassing = reason.isPassing === true
    const count = this.#since.size
    warn(`${count} call${count === 1 ? " waits" : "s wait"} ${reason.text}`)
  }
}
