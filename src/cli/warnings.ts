import { note, styled } from "./screen"

/** Begins of warnings whose matter a command shows itself. */
const shown = [
  / mode \(.*\) is in force, and \S+ has waited /s,
  /^These instances have not acknowledged /,
  /^The maintenance by .* is over: /s,
]

/** Prints process warnings in the way of this command line, instead of Node's. */
export function showWarnings(): void {
  process.removeAllListeners("warning")
  process.on("warning", ({ message }) => {
    if (!shown.some((pattern) => pattern.test(message)))
      note(`${styled("yellow", "warning:", process.stderr)} ${message}`)
  })
}
