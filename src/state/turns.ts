/** What has its turn before what: `first` before everything that waits, `last` when nothing else does. */
export type Priority = "first" | "usual" | "last"

/** Runs one piece of work at a time; those of one priority in the order of the calls. */
export class Turns {
  readonly #waiting: Readonly<Record<Priority, (() => void)[]>> = { first: [], usual: [], last: [] }
  #isTaken = false

  /** Runs the work when it has its turn; resolves or rejects as the work does. */
  async take<T>(work: () => Promise<T>, priority: Priority = "usual"): Promise<T> {
    if (this.#isTaken) await new Promise<void>((begin) => this.#waiting[priority].push(begin))
    this.#isTaken = true
    try {
      return await work()
    } finally {
      this.#pass()
    }
  }

  /** Leaves the turn to the next, without a gap in which somebody else could take it. */
  #pass(): void {
    const { first, usual, last } = this.#waiting
    const begin = first.shift() ?? usual.shift() ?? last.shift()
    if (begin) begin()
    else this.#isTaken = false
  }
}
