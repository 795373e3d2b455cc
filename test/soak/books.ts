import type { Findings } from "./findings"
import type { Witness } from "./witness"

/** Holds what the applications were told of their attempts against what is stored. */
export class Books {
  readonly #witness: Witness
  readonly #findings: Findings

  constructor(witness: Witness, findings: Findings) {
    this.#witness = witness
    this.#findings = findings
  }

  /** What was said to be stored is, and what was refused is not. */
  async check(stored: readonly string[], refused: readonly string[]): Promise<void> {
    if (stored.length + refused.length === 0) return
    const rows = await this.#witness.query<{ attempt: string }>(
      "select distinct attempt from entry where attempt = any ($1)",
      [[...stored, ...refused]],
    )
    const found = new Set(rows.map(({ attempt }) => attempt))
    for (const attempt of stored.filter((one) => !found.has(one)))
      this.#findings.add("inconsistency", "what was said to be stored is not", attempt)
    for (const attempt of refused.filter((one) => found.has(one)))
      this.#findings.add("inconsistency", "what was refused is stored", attempt)
  }
}
