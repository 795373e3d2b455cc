import type { Findings } from "./findings"
import type { Witness } from "./witness"

/** Compares the outcomes that applications received with the stored rows. */
export class Books {
  readonly #witness: Witness
  readonly #findings: Findings

  constructor(witness: Witness, findings: Findings) {
    this.#witness = witness
    this.#findings = findings
  }

  /** Checks that attempts reported as stored are stored, and refused ones are not. */
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
