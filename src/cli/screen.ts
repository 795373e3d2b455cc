import type { Writable } from "node:stream"

/** Colours by their meaning, as SGR codes. */
const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const
/** The style of a text on a terminal. */
export type Style = keyof typeof codes

/** Whether a stream is a terminal that shows colours. https://no-color.org */
function hasColours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb"
}

/** Writes a text in a style, if the stream shows colours. */
export function styled(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return hasColours(stream) ? `\x1b[${codes[style]}m${text}\x1b[0m` : text
}

/** Prints the result of a command. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Prints a note beside the result, so that the output remains the result alone. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Prints the result of a command as one JSON document. Times are ISO strings in UTC. */
export function printJson(result: unknown): void {
  print(JSON.stringify(result, undefined, 2))
}

/** Prints one of several JSON documents, on a line of its own. */
export function printJsonLine(result: unknown): void {
  print(JSON.stringify(result))
}

/** Text that is rewritten in place on a terminal, and printed line by line anywhere else. */
export class LiveText {
  readonly #stream: Writable & Partial<Pick<NodeJS.WriteStream, "isTTY" | "columns" | "rows">>
  #lines = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  /** Whether the text is rewritten in place. */
  get isLive(): boolean {
    return this.#stream.isTTY === true && process.env["TERM"] !== "dumb"
  }

  /** Shows a text instead of the one before. */
  show(text: string): void {
    if (!this.isLive) return void this.#stream.write(`${text}\n`)
    const { columns, rows } = sizeOf(this.#stream)
    const all = text.split("\n").map((line) => shortened(line, columns - 1))
    const isTooHigh = all.length > rows - 1
    const lines = isTooHigh ? [...all.slice(0, rows - 2), `… and ${all.length - rows + 2} more lines`] : all
    this.clear()
    this.#stream.write(lines.join("\n"))
    this.#lines = lines.length
  }

  /** Removes the text from a terminal. */
  clear(): void {
    if (this.#lines === 0) return
    const up = this.#lines > 1 ? `\x1b[${this.#lines - 1}A` : ""
    this.#stream.write(`\r${up}\x1b[J`)
    this.#lines = 0
  }

  /** Leaves the text where it is, and ends its line. */
  keep(): void {
    if (this.#lines > 0) this.#stream.write("\n")
    this.#lines = 0
  }
}

/** A line cut to a width. Styles do not count. */
function shortened(line: string, width: number): string {
  // oxlint-disable-next-line no-control-regex -- the escape character begins a style
  const parts = line.split(/(\x1b\[\d+m)/)
  let left = width
  let text = ""
  for (const part of parts) {
    if (part.startsWith("\x1b")) {
      text += part
      continue
    }
    text += part.length > left ? `${part.slice(0, Math.max(0, left - 1))}…` : part
    left -= part.length
    if (left < 0) return `${text}${line.includes("\x1b") ? "\x1b[0m" : ""}`
  }
  return text
}

/** Goes on without output if its reader has gone away, as `head` does: what was begun is brought to its end. */
export function outliveOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "ENOSPC" && error.code !== "EIO") throw error
    })
  }
}

/** Whether somebody still reads the output. */
export function isRead(): boolean {
  return !process.stdout.destroyed && process.stdout.errored === null
}

/** Resolves when all output was written. */
export async function flushed(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) => new Promise<void>((resolve) => stream.write("", () => resolve())),
    ),
  )
}

/** The size of a terminal. One that does not know its size says 0. */
function sizeOf({ columns, rows }: Partial<Pick<NodeJS.WriteStream, "columns" | "rows">>): {
  columns: number
  rows: number
} {
  return { columns: columns || 80, rows: rows || 24 }
}
