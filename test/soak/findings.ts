import { boundMs } from "./bound"
import type { Timeline } from "./timeline"

/** The kinds of findings, all of which must not occur. */
export const findingKinds = ["leak", "hang", "inconsistency"] as const
/** A kind of finding. */
export type FindingKind = (typeof findingKinds)[number]

/** Time before a finding that is printed, in milliseconds. For a hang, it precedes the beginning. */
const contextMs = 15_000

/** Collects findings, and prints each at once with the events before it. */
export class Findings {
  readonly #timeline: Timeline
  readonly #counts: Record<FindingKind, number> = { leak: 0, hang: 0, inconsistency: 0 }
  readonly #kinds = new Map<string, number>()
  readonly #isQuiet: boolean

  constructor(timeline: Timeline, isQuiet: boolean) {
    this.#timeline = timeline
    this.#isQuiet = isQuiet
  }

  /** Records a finding. `what` is equal for findings of the same kind; `facts` identify this one. */
  add(kind: FindingKind, what: string, facts = ""): void {
    this.#counts[kind]++
    const name = `${kind}: ${what}`
    this.#kinds.set(name, (this.#kinds.get(name) ?? 0) + 1)
    if (this.#isQuiet) return
    console.log(`\n${this.#timeline.at()}: ${name.toUpperCase()}${facts && `\n  ${facts}`}`)
    const from = Date.now() - contextMs - (kind === "hang" ? boundMs : 0)
    for (const line of this.#timeline.between(from, from + contextMs + 1000)) console.log(`    ${line}`)
  }

  count(kind: FindingKind): number {
    return this.#counts[kind]
  }

  /** The findings with their numbers, most frequent first. */
  get summary(): readonly (readonly [string, number])[] {
    return [...this.#kinds].toSorted(([, some], [, others]) => others - some)
  }
}
