/** A fault while it lasts. Times are those of the system's clock. */
interface Disturbance {
  readonly kind: string
  /** The process that it is of; undefined for one of all. */
  readonly target: string | undefined
  readonly from: number
  until: number
}

/** What comes after a fault while the machine recovers from it. */
const aftermathMs = 1500
const remembered = 5000

/** What happened, and when: to tell what a fault excuses, and to print what came before a finding. */
export class Timeline {
  readonly #start = Date.now()
  readonly #disturbances: Disturbance[] = []
  readonly #events: { readonly at: number; readonly text: string }[] = []
  /** How often which fault was. */
  readonly counts: Record<string, number> = {}

  /** Notes that a fault begins; returns what is to be called when it ends. */
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

  /** Whether a fault reached a process within a time; only of some kinds, if they are given. */
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

  /** How long it has been, in seconds. */
  at(time = Date.now()): string {
    return `${((time - this.#start) / 1000).toFixed(1)} s`
  }

  /** What happened between two moments, in lines. */
  between(from: number, until: number): string[] {
    return this.#events
      .filter(({ at }) => at >= from && at <= until)
      .map(({ at, text }) => `${this.at(at)}: ${text}`)
  }
}
