/** Line break that a message of this package makes itself. No text of a user or of PostgreSQL contains a null character. */
export const lineBreak = "\0"

/** Characters that a terminal or a log obeys, and those that reorder a text. */
// oxlint-disable-next-line no-control-regex -- these are what is escaped
const controlCharacters = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g

const shortEscapes: Readonly<Record<string, string>> = {
  [lineBreak]: "\n",
  "\n": String.raw`\n`,
  "\r": String.raw`\r`,
  "\t": String.raw`\t`,
}

/**
 * Completes a message. It escapes control characters, because a message quotes what users have written, such as a
 * reason: they could forge lines of a log. Only a `lineBreak` becomes a line break.
 */
export function printable(message: string): string {
  return message.replaceAll(
    controlCharacters,
    (character) =>
      shortEscapes[character] ?? String.raw`\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

/** Prepares a completed message to become part of another one, so that its line breaks are kept. */
export function embedded(message: string): string {
  return message.replaceAll("\n", lineBreak)
}

/** Formats a time for a message, to the second: "2026-01-31 02:00:00 UTC". */
export function timeText(time: Date): string {
  return time
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, " UTC")
}
