/** A text on one line, without characters that a terminal obeys or that reorder it: others may have written it. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what is replaced
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]+/g, " ")
}

/** The same for the message of an error: items of a list and indented lines keep their lines, other line breaks go. */
export function plainLines(text: string): string {
  return text
    .split(/\n(?=- | {2})|(?<=^(?:- | {2}).*)\n/m)
    .map(plain)
    .join("\n")
}

/** A word for a shell, to be pasted. */
export function shellWord(text: string): string {
  const word = plain(text)
  return /^[\w@%+:,./][\w@%+=:,./-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** A name for SQL, to be pasted. */
export function sqlName(name: string): string {
  return `"${plain(name).replaceAll('"', '""')}"`
}
