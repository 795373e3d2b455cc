/** How many refusals in a row are delivered without a delay. */
const promptInARow = 10
const maxDelayMs = 20

/**
 * Delivers refusals for which nothing was sent. A promise that is rejected at once is answered in a microtask: a caller who
 * retries without a pause would keep the process from its timers and sockets, and so from hearing that the window is over.
 */
export class EarlyRefusals {
  /** How many refusals in a row the running code has been given without a pause; 0 for other code. */
  #inARow = 0

  /**
   * Rejects with the error after the event loop has turned. Code that comes again as soon as its refusal was delivered is
   * delayed by a millisecond more each time, up to 20; other calls are not, however many there are.
   */
  reject(error: unknown): Promise<never> {
    const inARow = this.#inARow + 1
    return new Promise((_resolve, reject) => {
      const deliver = () => {
        this.#inARow = inARow
        reject(error)
        // A tick that is asked for in a microtask follows all microtasks, the caller's next attempt among them.
        queueMicrotask(() => process.nextTick(() => (this.#inARow = 0)))
      }
      const delayMs = Math.min(inARow - promptInARow, maxDelayMs)
      if (delayMs > 0) setTimeout(deliver, delayMs)
      else setImmediate(deliver)
    })
  }
}
