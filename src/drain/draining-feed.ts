import type { Draining } from "./drain"

/** Tells who follows a call of who is in the way. */
export type Tell = (draining: Draining) => void

/** Tells async iterators what is told while a mode is being entered. Who is slow gets the latest only. */
export class DrainingFeed {
  readonly #followers = new Set<Follower>()
  /** The calls that are under way, the last of them last: one may wait for hours until its window begins. */
  readonly #calls = new Set<object>()

  /** Runs a call that may wait for what was running, and tells whom. It is under way from now on, and until it is over, however. */
  async whileUnderWay<T>(run: (tell: Tell) => Promise<T>): Promise<T> {
    const call = {}
    this.#calls.add(call)
    for (const follower of this.#followers) follower.call ??= call
    try {
      return await run((draining) => {
        for (const follower of this.#followers) if (follower.call === call) follower.tell(draining)
      })
    } finally {
      this.#calls.delete(call)
      for (const follower of this.#followers) if (follower.call === call) follower.end()
    }
  }

  /** Ends all that follow. */
  close(): void {
    for (const follower of this.#followers) follower.end()
  }

  /** Follows the last call that is under way, or else the next, until that is over. */
  follow(): AsyncIterableIterator<Draining> {
    const follower = new Follower(() => this.#followers.delete(follower))
    follower.call = [...this.#calls].at(-1)
    this.#followers.add(follower)
    return follower
  }
}

class Follower implements AsyncIterableIterator<Draining> {
  /** What it follows, if that has begun. */
  call: object | undefined
  readonly #ended: () => void
  #latest: Draining | undefined
  #isOver = false
  /** Those who have asked for what comes next: somebody may ask twice before there is anything. */
  #waiting: (() => void)[] = []

  constructor(ended: () => void) {
    this.#ended = ended
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  tell(draining: Draining): void {
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
