import type { Draining } from "./drain-plan"

/** Reports the progress of a drain. */
export type ReportDraining = (draining: Draining) => void

/** Publishes the progress of drains to async iterators. A slow iterator receives only the latest report. */
export class DrainingFeed {
  readonly #followers = new Set<Follower>()
  /** The calls under way, in the order of their start. One may wait for hours until its window begins. */
  readonly #calls = new Set<object>()
  #isClosed = false

  /**
   * Runs a call that may drain, and publishes its progress. Iterators that follow the call end when it
   * settles.
   */
  async whileUnderWay<T>(run: (report: ReportDraining) => Promise<T>): Promise<T> {
    const call = {}
    this.#calls.add(call)
    for (const follower of this.#followers) follower.call ??= call
    try {
      return await run((draining) => {
        for (const follower of this.#followers) if (follower.call === call) follower.report(draining)
      })
    } finally {
      this.#calls.delete(call)
      for (const follower of this.#followers) if (follower.call === call) follower.end()
    }
  }

  /** Ends all iterators, and with `isForGood` also those that come later. */
  close(isForGood: boolean): void {
    this.#isClosed ||= isForGood
    for (const follower of this.#followers) follower.end()
  }

  /** Follows the last call under way, or else the next one, until it settles. */
  follow(): AsyncIterableIterator<Draining> {
    const follower = new Follower(() => this.#followers.delete(follower))
    follower.call = [...this.#calls].at(-1)
    this.#followers.add(follower)
    if (this.#isClosed) follower.end()
    return follower
  }
}

class Follower implements AsyncIterableIterator<Draining> {
  /** The call that it follows, once that has begun. */
  call: object | undefined
  readonly #ended: () => void
  #latest: Draining | undefined
  #isOver = false
  /** Pending calls of `next()`: a consumer may request several values before there is one. */
  #waiting: (() => void)[] = []

  constructor(ended: () => void) {
    this.#ended = ended
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  report(draining: Draining): void {
    this.#latest = draining
    this.#wake()
  }

  end(): void {
    this.#isOver = true
    this.#ended()
    this.#wake()
  }

  async next(): Promise<IteratorResult<Draining, undefined>> {
    while (!this.#latest && !this.#isOver) {
      await new Promise<void>((resolve) => void this.#waiting.push(resolve))
    }
    const value = this.#latest
    this.#latest = undefined
    return value ? { value, done: false } : { value: undefined, done: true }
  }

  async return(): Promise<IteratorResult<Draining, undefined>> {
    this.#latest = undefined
    this.end()
    return { value: undefined, done: true }
  }

  #wake(): void {
    for (const goOn of this.#waiting.splice(0)) goOn()
  }
}
