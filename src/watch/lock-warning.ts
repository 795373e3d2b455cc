import { warn } from "../notices"
import { messageOf } from "../refusal"
import type { StateStore } from "../state/state-store"

/** Warns about the session whose lock prevents the state from being read: once, until it can be read again. */
export class LockWarning {
  readonly #store: StateStore
  #isGiven = false

  constructor(store: StateStore) {
    this.#store = store
  }

  /** Warns, unless that was done since the state could last be read. */
  async give(error: unknown): Promise<void> {
    if (this.#isGiven) return
    this.#isGiven = true
    warn(messageOf(await this.#store.unreadable(error)))
  }

  /** Records that the state could be read. */
  reset(): void {
    this.#isGiven = false
  }
}
