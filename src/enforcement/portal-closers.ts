/** Number of texts that are remembered. */
const maxTexts = 1000

/**
 * Texts of statements that close all portals, as a function with CLOSE ALL does, and with them that of the check.
 * Such a statement is found out by an error, and has to run again. It is remembered, so that it runs twice only once.
 */
export class PortalClosers {
  readonly #texts = new Set<string>()

  has(text: string): boolean {
    return this.#texts.size > 0 && this.#texts.has(text)
  }

  add(text: string): void {
    if (this.#texts.size >= maxTexts) this.#texts.clear()
    this.#texts.add(text)
  }
}
