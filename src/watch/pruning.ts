import { setTimeout as pause } from "node:timers/promises"

const hourMs = 3_600_000
/** Within what time the instances prune after a change, so that they do not all at once. */
const spreadMs = 60_000
/** Delay before the next bite, if there is more. */
const nextBiteMs = 1000

/** Prunes the journal in the background: about once an hour, within a minute after a change, and on while there is more. */
export class Pruning {
  readonly #prune: () => Promise<boolean>
  #dueAt = performance.now() + Math.random() * hourMs
  #isUnderWay = false

  /** `prune` deletes a little; it resolves with whether there may be more. */
  constructor(prune: () => Promise<boolean>) {
    this.#prune = prune
  }

  /** To be called when the state was read; prunes if it is time. */
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
    // A change that comes meanwhile has it be done again.
    this.#dueAt = Number.POSITIVE_INFINITY
    // What fails is done later: by this instance or by another.
    while (await this.#prune().catch(() => false)) await pause(nextBiteMs, undefined, { ref: false })
  }
}
