import { warn } from "../notices"

/** What is said of those who wait. */
export interface Said {
  /** What they wait for: it is said once of each window. */
  readonly of: string
  /** What follows "2 calls wait", as the rest of the sentence. */
  readonly text: string
}

/** How long somebody waits before it is said that there are such. */
const sayAfterMs = 5000

/** Says in a process warning that somebody has waited for a while, and for what: the log would be silent else. */
export class WaitingNotice<Waiting> {
  readonly #describe: (longest: Waiting) => Said | undefined
  /** Since when each of them waits; who has waited longest comes first. */
  readonly #since = new Map<Waiting, number>()
  #next: NodeJS.Timeout | undefined
  #saidOf: string | undefined

  /** `describe` says what the one who has waited longest waits for; undefined if that is over. */
  constructor(describe: (longest: Waiting) => Said | undefined) {
    this.#describe = describe
  }

  /** Somebody begins to wait. */
  begin(waiting: Waiting): void {
    this.#since.set(waiting, performance.now())
    this.#next ??= this.#sayIn(sayAfterMs)
  }

  /** He waits no more. */
  end(waiting: Waiting): void {
    this.#since.delete(waiting)
    if (this.#since.size > 0) return
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
      // There may be another window by then, or somebody who waits for another reason.
      this.#next = this.#sayIn(leftMs > 0 ? leftMs : sayAfterMs)
    }, ms).unref()
  }

  #say(longest: Waiting): void {
    const said = this.#describe(longest)
    if (!said || said.of === this.#saidOf) return
    this.#saidOf = said.of
    const count = this.#since.size
    warn(`${count} call${count === 1 ? " waits" : "s wait"} ${said.text}`)
  }
}
