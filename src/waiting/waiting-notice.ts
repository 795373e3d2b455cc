import { warn } from "../notices"

/** The text of a warning about waiting calls. */
export interface Said {
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
const sayAfterMs = 5000

/** Warns about calls that have waited for a while, which the log would not show otherwise. */
export class WaitingNotice<Waiting> {
  readonly #describe: (longest: Waiting) => Said | undefined
  /** The beginning of each wait, the longest one first. */
  readonly #since = new Map<Waiting, number>()
  #next: NodeJS.Timeout | undefined
  #saidOf: string | undefined
  #isPassing = false

  /** `describe` returns what the longest waiting call waits for; undefined if that is over. */
  constructor(describe: (longest: Waiting) => Said | undefined) {
    this.#describe = describe
  }

  /** A call begins to wait. */
  begin(waiting: Waiting): void {
    this.#since.set(waiting, performance.now())
    this.#next ??= this.#sayIn(sayAfterMs)
  }

  /** A call no longer waits. */
  end(waiting: Waiting): void {
    this.#since.delete(waiting)
    if (this.#since.size > 0) return
    if (this.#isPassing) this.#saidOf = undefined
    clearTimeout(this.#next)
    this.#next = undefined
  }

  #sayIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      const [longest] = this.#since
      if (!longest) return
      const [waiting, since] = longest
      const leftMs = since + sayAfterMs - performance.now()
      if (leftMs <= 0) this.#say(waiting)
      // By then there may be another window, or a call that waits for another reason.
      this.#next = this.#sayIn(leftMs > 0 ? leftMs : sayAfterMs)
    }, ms).unref()
  }

  #say(longest: Waiting): void {
    const said = this.#describe(longest)
    if (!said || said.of === this.#saidOf) return
    this.#saidOf = said.of
    this.#isPassing = said.isPassing === true
    const count = this.#since.size
    warn(`${count} call${count === 1 ? " waits" : "s wait"} ${said.text}`)
  }
}
