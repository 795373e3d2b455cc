/** Priority of waiting work: `first` runs before everything that waits, `last` when nothing else does. */
export type Priority = "first" | "usual" | "last"

/** Runs one piece of work at a time, in the order of the calls within a priority. */
export class ControlQueue {
  readonly #waiting: Readonly<Record<Priority, (() => void)[]>> = { first: [], usual: [], last: [] }
  #isTaken = false

  /** Runs the work when its turn comes; resolves or rejects as the work does. */
  async run<T>(work: () => Promise<T>, priority: Priority = "usual"): Promise<T> {
    if (this.#isTaken) await new Promise<void>((begin) => this.#waiting[priority].push(begin))
    this.#isTaken = true
    try {
      return await work()
    } finally {
      this.#pass()
    }
  }

  /** Passes the turn to the next, without a gap in which another call could take it. */
  #pass(): void {
    const { first, usual, last } = this.#waiting
    const begin = first.shift() ?? usual.shift() ?? last.shift()
    if (begin) begin()
    else this.#isTaken = false
  }
}
