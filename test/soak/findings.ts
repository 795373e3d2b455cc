import { boundMs } from "./bound"
import type { Timeline } from "./timeline"

/** What must not be. */
export const findingKinds = ["leak", "hang", "inconsistency"] as const
export type FindingKind = (typeof findingKinds)[number]

/** How much of what came before is printed; before a hang, of what came before it began. */
const contextMs = 15_000

/** What was found; each is printed at once, with what came before. */
export class Findings {
  readonly #timeline: Timeline
  readonly #counts: Record<FindingKind, number> = { leak: 0, hang: 0, inconsistency: 0 }
  readonly #kinds = new Map<string, number>()
  readonly #isQuiet: boolean

  constructor(timeline: Timeline, isQuiet: boolean) {
    this.#timeline = timeline
    this.#isQuiet = isQuiet
  }

  /** `what` is alike for what is alike; `facts` tell this one apart. */
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

  /** What was found how often. */
  get summary(): readonly (readonly [string, number])[] {
    return [...this.#kinds].toSorted(([, some], [, others]) => others - some)
  }
}
