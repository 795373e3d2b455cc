import { textOf, warn } from "../notices"
import { shared } from "../shared"

/** Something that this process holds and that a signal ends. */
export interface Hold {
  /** Its name in a warning, such as "the exclusive maintenance by alice". */
  readonly name: string
  /** Ends it; rejects if it may still stand. */
  end(signal: NodeJS.Signals): Promise<unknown>
}

/** The signals that ask a process to exit. */
const signals = ["SIGINT", "SIGTERM"] as const
/** Maximum delay of the process's exit in milliseconds, while holds are ended. */
const endWithinMs = 5000

/**
 * Ends the holds of this process when a signal asks it to exit.
 *
 * Afterwards the signal has its usual effect: it terminates the process, unless there are other listeners. A
 * second signal is not delayed.
 */
export class SignalHolds {
  readonly #holds = new Set<Hold>()
  #isEnding = false
  readonly #received = (signal: NodeJS.Signals) => void this.#receive(signal)

  /** Registers a hold that a signal ends; returns the undo. */
  add(hold: Hold): () => void {
    this.#holds.add(hold)
    this.#listen()
    return () => {
      this.#holds.delete(hold)
      if (!this.#isEnding) this.#listen()
    }
  }

  async #receive(signal: NodeJS.Signals): Promise<void> {
    // Other listeners decide about the process themselves, and have received this very event.
    const isUnheard = process.listenerCount(signal) === 1
    if (!this.#isEnding) {
      this.#isEnding = true
      await this.#end(signal)
      this.#isEnding = false
    } else if (!isUnheard) return
    if (isUnheard) this.#holds.clear()
    this.#listen()
    if (isUnheard) process.kill(process.pid, signal)
  }

  /** Listens while there is a hold. */
  #listen(): void {
    for (const signal of signals) {
      process.off(signal, this.#received)
      // First in the list, so that listeners added by `once` are still counted.
      if (this.#holds.size > 0) process.prependListener(signal, this.#received)
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const left = new Set(this.#holds)
    // Last opened first, because it may lie within another.
    const ended = [...left].toReversed().map((hold) =>
      hold.end(signal).then(
        () => left.delete(hold),
        (error: unknown) => left.delete(hold) && warnNotEnded(signal, hold, ` (${textOf(error)}).`),
      ),
    )
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((resolve) => (timer = setTimeout(resolve, endWithinMs)))
    await Promise.race([Promise.all(ended), late])
    clearTimeout(timer)
    for (const hold of left) warnNotEnded(signal, hold, ` within ${endWithinMs} ms.`)
    // Node writes a warning only after the current turn of the event loop.
    await new Promise(setImmediate)
  }
}

function warnNotEnded(signal: NodeJS.Signals, { name }: Hold, why: string): void {
  warn(
    `${signal} was received, but ${name} was not ended${why} It may still be in force. Look at status(), and call leave() if it is.`,
  )
}

/** The holds of this process, whichever copies of this package they are of. */
export function signalHolds(): SignalHolds {
  return (shared.signalHolds ??= new SignalHolds()) as SignalHolds
}
