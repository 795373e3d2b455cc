import { randomUUID } from "node:crypto"

/** Number of renewals within the grace time, so that one may fail. */
const renewals = 3
/** Number of attempts to connect again within the grace time. */
const triesInGrace = 10

/**
 * The lease of windows that are tied to this process (`heldWhile: "alive"`). Renews it while such a window
 * may exist. Does not keep the process alive.
 */
export class Lease {
  /** Identifier of this process in the windows that are tied to it. */
  readonly name = randomUUID()
  readonly #renewOnce: (name: string) => Promise<boolean>
  /** The shortest grace time of these windows, in milliseconds. */
  #graceMs = Number.POSITIVE_INFINITY
  #isRunning = false
  #next: NodeJS.Timeout | undefined

  /** `renew` resolves with whether a window is still tied to this process. */
  constructor(renew: (name: string) => Promise<boolean>) {
    this.#renewOnce = renew
  }

  /**
   * Longest delay before the next attempt to connect, in milliseconds: a tied window ends soon without this
   * process.
   */
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

  /** Starts renewing, often enough for a window with this grace time. */
  keepRenewing(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs, graceMs)
    this.#renewLater()
  }

  /** Renews at once if a window may be tied to this process, since part of its grace time has passed. */
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
    // The next renewal makes up for a failed one.
    const renewed = this.#renewOnce(this.name).catch(() => true)
    void renewed.then((isNeeded) => {
      if (isNeeded) this.#renewLater()
      else this.#graceMs = Number.POSITIVE_INFINITY
    })
  }
}
