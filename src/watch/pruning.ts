import { setTimeout as pause } from "node:timers/promises"

const hourMs = 3_600_000
/** Time over which the instances' pruning after a change is spread, in milliseconds. */
const spreadMs = 60_000
/** Delay before the next batch, in milliseconds. */
const nextBiteMs = 1000

/**
 * Prunes the journal in the background: about once an hour, and within a minute after a change. Continues
 * while there is more to delete.
 */
export class Pruning {
  readonly #prune: () => Promise<boolean>
  #dueAt = performance.now() + Math.random() * hourMs
  #isUnderWay = false

  /** `prune` deletes one batch. It resolves with whether there may be more. */
  constructor(prune: () => Promise<boolean>) {
    this.#prune = prune
  }

  /** Prunes if it is time. Called after each read of the state. */
  looked(isChanged: boolean): void {
    const now = performance.now()
    if (isChanged) this.#dueAt = Math.min(this.#dueAt, now + Math.random() * spreadMs)
    if (now < this.#dueAt || this.#isUnderWay) return
    this.#isUnderWay = true
    void this.#pruneAll().finally(() => {
      this.#dueAt = Math.min(this.#dueAt, performance.now() + hourMs * (0.5 + Math.random() / 2))
      this.#isUnderWay = false
    })
  }

  async #pruneAll(): Promise<void> {
    // A change during the pruning schedules another one.
    this.#dueAt = Number.POSITIVE_INFINITY
    // A failed batch is deleted later, by this instance or another.
    while (await this.#prune().catch(() => false)) await pause(nextBiteMs, undefined, { ref: false })
  }
}
