/** Number of successive refusals that are delivered without a delay. */
const promptInARow = 10
const maxDelayMs = 20

/**
 * Delivers refusals for which nothing was sent to the server. An immediate rejection is handled in a
 * microtask. A tight retry loop would then block the timers and sockets of the process, and so the news that
 * the window is over.
 */
export class EarlyRefusals {
  /** Number of successive refusals that the running code has received; 0 for other code. */
  #inARow = 0

  /**
   * Rejects with the error after a turn of the event loop. Code that retries as soon as it is refused is
   * delayed by one more millisecond each time, up to 20. Other calls are not delayed, however many there are.
   */
  reject(error: unknown): Promise<never> {
    const inARow = this.#inARow + 1
    return new Promise((_resolve, reject) => {
      const deliver = () => {
        this.#inARow = inARow
        reject(error)
        // A tick requested in a microtask runs after all microtasks, including the caller's next attempt.
        queueMicrotask(() => process.nextTick(() => (this.#inARow = 0)))
      }
      const delayMs = Math.min(inARow - promptInARow, maxDelayMs)
      if (delayMs > 0) setTimeout(deliver, delayMs)
      else setImmediate(deliver)
    })
  }
}
