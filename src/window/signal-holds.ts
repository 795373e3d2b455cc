import { warn } from "../notices"
import { shared } from "../shared"

/** Something that this process holds, and that a signal is to end. */
export interface Hold {
  /** Its name in a warning, as "the exclusive maintenance of alice". */
  readonly name: string
  /** Ends it; rejects if it may still stand. */
  end(signal: NodeJS.Signals): Promise<unknown>
}

/** The signals that ask a process to end. */
const signals = ["SIGINT", "SIGTERM"] as const
/** How long the end of a process may be put off for what it holds. */
const endWithinMs = 5000

/**
 * What this process holds, and ends when a signal asks the process to end. Then the signal does what it would have done: it ends
 * the process, unless somebody else listens to it. A second signal is not held up.
 */
export class SignalHolds {
  readonly #holds = new Set<Hold>()
  #isEnding = false
  readonly #received = (signal: NodeJS.Signals) => void this.#receive(signal)

  /** Has a signal end it; returns the undo. */
  add(hold: Hold): () => void {
    this.#holds.add(hold)
    this.#listen()
    return () => {
      this.#holds.delete(hold)
      if (!this.#isEnding) this.#listen()
    }
  }

  async #receive(signal: NodeJS.Signals): Promise<void> {
    // Others decide themselves what becomes of the process, and have been told by this very event.
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

  /** Listens as long as there is something to end. */
  #listen(): void {
    for (const signal of signals) {
      process.off(signal, this.#received)
      // First, so that listeners who listen once still count.
      if (this.#holds.size > 0) process.prependListener(signal, this.#received)
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const left = new Set(this.#holds)
    // The last first: it may stand within another.
    const ended = [...left].toReversed().map((hold) =>
      hold.end(signal).then(
        () => left.delete(hold),
        (error: unknown) => left.delete(hold) && warnNotEnded(signal, hold, ` (${String(error)}).`),
      ),
    )
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((resolve) => (timer = setTimeout(resolve, endWithinMs)))
    await Promise.race([Promise.all(ended), late])
    clearTimeout(timer)
    for (const hold of left) warnNotEnded(signal, hold, ` within ${endWithinMs} ms.`)
    // A warning is written when this turn of the event loop is over.
    await new Promise(setImmediate)
  }
}

function warnNotEnded(signal: NodeJS.Signals, { name }: Hold, why: string): void {
  warn(
    `${signal} was received, but ${name} was not ended${why} It may still stand: look at status(), and leave() it by hand.`,
  )
}

/** The holds of this process, whichever copies of this package they are of. */
export function signalHolds(): SignalHolds {
  return (shared.signalHolds ??= new SignalHolds()) as SignalHolds
}
