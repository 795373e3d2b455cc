import type { Draining } from "./drain"

/** Tells async iterators what is told while a mode is being entered. Who is slow gets the latest only. */
export class DrainingFeed {
  readonly #followers = new Set<Follower>()
  #underWay = 0

  /** Begins to wait for what was running; to be undone by the function that is returned. */
  begin(): () => void {
    this.#underWay++
    return () => {
      if (--this.#underWay > 0) return
      for (const follower of this.#followers) follower.end()
    }
  }

  tell(draining: Draining): void {
    for (const follower of this.#followers) follower.tell(draining)
  }

  /** Ends all that follow. */
  close(): void {
    for (const follower of this.#followers) follower.end()
  }

  /** Follows from now on what is under way, or else what comes next, until all of that is over. */
  follow(): AsyncIterableIterator<Draining> {
    const follower = new Follower(() => this.#followers.delete(follower))
    this.#followers.add(follower)
    return follower
  }
}

class Follower implements AsyncIterableIterator<Draining> {
  readonly #ended: () => void
  #latest: Draining | undefined
  #isOver = false
  #wake: () => void = () => undefined

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
    while (!this.#latest && !this.#isOver) await new Promise<void>((resolve) => (this.#wake = resolve))
    const value = this.#latest
    this.#latest = undefined
    return value ? { value, done: false } : { value: undefined, done: true }
  }

  async return(): Promise<IteratorResult<Draining, undefined>> {
    this.#latest = undefined
    this.end()
    return { value: undefined, done: true }
  }
}
