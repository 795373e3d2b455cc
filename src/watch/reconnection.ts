import { type Delivery, pollMs } from "./delivery"
import type { Lease } from "./lease"

const firstRetryMs = 200
const lastRetryMs = 10_000

/** The parts that `Reconnection` needs. */
export interface ReconnectionParts {
  readonly delivery: Delivery
  readonly lease: Lease
  /** Connects if necessary, listens, and reads the state. */
  listen(): Promise<void>
  /** Reads the state. */
  refresh(): Promise<unknown>
  /** Drops the connection, after which it is made again. */
  drop(): void
}

/**
 * Connects a watch again after a loss, with growing delays, and polls the state where LISTEN does not deliver. Does
 * not keep the process alive.
 */
export class Reconnection {
  readonly #parts: ReconnectionParts
  #retryMs = firstRetryMs
  #isRunning = false
  #next: NodeJS.Timeout | undefined

  constructor(parts: ReconnectionParts) {
    this.#parts = parts
  }

  start(): void {
    this.#isRunning = true
  }

  stop(): void {
    this.#isRunning = false
    clearTimeout(this.#next)
  }

  /** Records that the state was read over a new connection. Begins to poll if no notifications arrive. */
  connected(): void {
    this.#retryMs = firstRetryMs
    if (this.#parts.delivery.isPolled) this.#pollLater()
  }

  /** Connects again after a loss. */
  lost(): void {
    if (!this.#isRunning) return
    clearTimeout(this.#next)
    const { lease, listen, drop } = this.#parts
    const longestMs = Math.min(lastRetryMs, lease.longestRetryMs)
    const waitMs = Math.min(this.#retryMs, longestMs) * (0.5 + Math.random())
    this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs)
    this.#next = setTimeout(() => void listen().catch(drop), waitMs).unref()
  }

  #pollLater(): void {
    if (!this.#isRunning) return
    clearTimeout(this.#next)
    const { delivery, listen, refresh, drop } = this.#parts
    this.#next = setTimeout(() => {
      // A standby may have been promoted meanwhile.
      const poll = delivery.isStandby ? listen() : refresh().then(() => this.#pollLater())
      poll.catch(drop)
    }, pollMs).unref()
  }
}
