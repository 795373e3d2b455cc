import { formatGiven } from "../duration"
import { nextCommand } from "../next-command"
import type { TargetOptions } from "../target"

/** A message of the API in the words of the command line. `options` are those by which the command found its database. */
export function inWordsOfCommands(message: string, options: TargetOptions): string {
  const install = [
    /npx typeorm-maintenance-mode schema --apply --schema \S+ --role ROLE/g,
    () => nextCommand("schema --apply --role ROLE", options),
  ] as const
  return [...wordings, install].reduce(
    // TypeScript has an overload for each kind of words.
    (text, [pattern, words]) =>
      typeof words === "string" ? text.replaceAll(pattern, words) : text.replaceAll(pattern, words),
    message,
  )
}

type Words = string | ((...match: string[]) => string)

/** Names of options and calls in the errors of the API, and their names in the command line. */
const wordings: readonly (readonly [RegExp, Words])[] = [
  [/(?:The option )?\bexpiresInMs\b/g, "--expires"],
  [/(?:The option )?\bplannedForMs\b/g, "--planned"],
  [/(?:The option )?\bgraceMs\b/g, "--grace"],
  [/(?:The option )?\bdrain\.withinMs\b/g, "--drain"],
  [/\bdrain\.then: "(\w+)"/g, "--then $1"],
  [/(?:The option )?\bdrain\.then\b/g, "--then"],
  [/The option (readers|limit|reason|message)\b/g, "--$1"],
  [/The user in the option "(?:as|to)"/g, "The user"],
  [/\bifHeld: true/g, "--if-held"],
  [/\bPass `as`, call within runAs\(\), or set the option currentUser\./g, "Name it with --as."],
  [/\bstatus\(\)\.windows\b/g, "status"],
  [/\bstatus\(\)/g, "status"],
  [/connectMaintenance\(\) could not connect/g, "Could not connect"],
  [
    /must be a number of milliseconds from (\d+) to (\d+), not (\d+)\./g,
    (_, least, most, given) =>
      `must be from ${formatGiven(Number(least))} to ${formatGiven(Number(most))}, not ${formatGiven(Number(given))}.`,
  ],
  [/, and migrate is false\./g, "."],
  // The command line takes no migrations.
  [/\nOr add MaintenanceMigration [^\n]*/g, ""],
]
