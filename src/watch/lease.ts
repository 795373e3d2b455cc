import { randomUUID } from "node:crypto"

/** Number of renewals within the grace time, so that one may fail. */
const renewals = 3
/** Number of attempts to connect again within the grace time. */
const triesInGrace = 10

/** The tie of windows to this process (`heldWhile: "alive"`): renews it while there may be such a window. Keeps no process alive. */
export class Lease {
  /** Names this process in the windows that are tied to it. */
  readonly name = randomUUID()
  readonly #renewOnce: (name: string) => Promise<boolean>
  /** The shortest grace time of such a window. */
  #graceMs = Number.POSITIVE_INFINITY
  #isRunning = false
  #next: NodeJS.Timeout | undefined

  /** `renew` resolves with whether there is still a window that is tied to this process. */
  constructor(renew: (name: string) => Promise<boolean>) {
    this.#renewOnce = renew
  }

  /** Longest delay before the next attempt to connect: a tied window does not go on without this process for long. */
  get longestRetryMs(): number {
    return this.#graceMs / triesInGrace
  }

  start(): void {
    this.#isRunning = true
  }

  stop(): void {
    this.#isRunning = false
    clearTimeout(this.#next)
    this.#graceMs = Number.POSITIVE_INFINITY
  }

  /** Renews from now on, often enough for a window of this grace time. */
  keepRenewing(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs, graceMs)
    this.#renewLater()
  }

  /** Renews now, if there may be such a window: some of its grace time is over. */
  connectedAgain(): void {
    if (this.#graceMs !== Number.POSITIVE_INFINITY) this.#renew()
  }

  #renewLater(): void {
    clearTimeout(this.#next)
    if (!this.#isRunning) return
    this.#next = setTimeout(() => this.#renew(), this.#graceMs / renewals).unref()
  }

  #renew(): void {
    clearTimeout(this.#next)
    // A renewal that fails is made up for by the next.
    const renewed = this.#renewOnce(this.name).catch(() => true)
    void renewed.then((isNeeded) => {
      if (isNeeded) this.#renewLater()
      else this.#graceMs = Number.POSITIVE_INFINITY
    })
  }
}
