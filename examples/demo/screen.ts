const colourCodes = { bold: 1, red: 31, green: 32, yellow: 33, cyan: 36, grey: 90 }
/** A colour, or bold. */
export type Ink = keyof typeof colourCodes

const width = 79

/**
 * The output of the demo: coloured, with a progress line that is rewritten, on a terminal; plain lines
 * elsewhere.
 */
export class Screen {
  readonly #isTerminal = process.stdout.isTTY
  readonly #isColoured = this.#isTerminal && !process.env["NO_COLOR"]
  readonly #quoted = new Set<string>()
  #isLineOpen = false
  #isClosed = false

  constructor() {
    // A closed terminal, or `| head`, must not keep the demo from stopping what it has started.
    for (const stream of [process.stdout, process.stderr]) stream.on("error", () => this.close())
  }

  /** Prints a chapter heading. */
  headline(title: string, ink: Ink): void {
    this.say(`\n${this.paint(`━━ ${title} ${"━".repeat(Math.max(0, width - title.length - 4))}`, ink)}`)
  }

  /** Prints whole lines. */
  say(text: string): void {
    if (this.#isClosed) return
    process.stdout.write(`${this.#isLineOpen ? "\n" : ""}${text}\n`)
    this.#isLineOpen = false
  }

  /** Prints a long text as indented lines under a title, once. */
  quoteOnce(title: string, text: string): void {
    if (this.#quoted.has(text)) return
    this.#quoted.add(text)
    const lines = text.match(new RegExp(`.{1,${width - 7}}(?:\\s|$)`, "g")) ?? [text]
    this.say([title, ...lines.map((line) => this.paint(`     │ ${line.trimEnd()}`, "grey"))].join("\n"))
  }

  /** Prints a progress line. On a terminal, it replaces the previous one. */
  progress(text: string): void {
    if (!this.#isTerminal || this.#isClosed) return this.say(text)
    process.stdout.write(`\r\x1b[2K${text.slice(0, process.stdout.columns - 1)}`)
    this.#isLineOpen = true
  }

  /** Colours the text, where colours are available. */
  paint(text: string, ink: Ink): string {
    return this.#isColoured ? `\x1b[${colourCodes[ink]}m${text}\x1b[0m` : text
  }

  /** Stops all output. */
  close(): void {
    this.#isClosed = true
    if (this.#isLineOpen) process.stdout.write("\n")
    this.#isLineOpen = false
  }
}
