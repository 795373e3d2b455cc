/** A fault, from beginning to end, by the system clock. */
interface Disturbance {
  readonly kind: string
  /** The process affected. Undefined: all processes. */
  readonly target: string | undefined
  readonly from: number
  until: number
}

/** Time for the machine to recover after a fault, in milliseconds. */
const aftermathMs = 1500
const remembered = 5000

/** Records events and faults, to decide what a fault excuses and to print the events before a finding. */
export class Timeline {
  readonly #start = Date.now()
  readonly #disturbances: Disturbance[] = []
  readonly #events: { readonly at: number; readonly text: string }[] = []
  /** Number of faults, by kind. */
  readonly counts: Record<string, number> = {}

  /** Records the beginning of a fault. Returns the function to call at its end. */
  begin(kind: string, target: string | undefined): () => void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
    const disturbance = { kind, target, from: Date.now(), until: Number.POSITIVE_INFINITY }
    this.#disturbances.push(disturbance)
    this.note(`FAULT ${kind}${target === undefined ? "" : ` of ${target}`}`)
    return () => {
      disturbance.until = Date.now() + aftermathMs
      this.note(`end of ${kind}${target === undefined ? "" : ` of ${target}`}`)
    }
  }

  /** Whether a fault affected a process within a period, optionally of certain kinds only. */
  isDisturbed(target: string, from: number, until: number, kinds?: readonly string[]): boolean {
    return this.#disturbances.some(
      (one) =>
        (one.target === undefined || one.target === target) &&
        one.from <= until &&
        one.until >= from &&
        (kinds === undefined || kinds.includes(one.kind)),
    )
  }

  note(text: string, at = Date.now()): void {
    this.#events.push({ at, text })
    if (this.#events.length > remembered) this.#events.shift()
  }

  /** The time since the start, in seconds. */
  at(time = Date.now()): string {
    return `${((time - this.#start) / 1000).toFixed(1)} s`
  }

  /** The events between two moments, as lines. */
  between(from: number, until: number): string[] {
    return this.#events
      .filter(({ at }) => at >= from && at <= until)
      .map(({ at, text }) => `${this.at(at)}: ${text}`)
  }
}
