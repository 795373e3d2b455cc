import { CommanderError } from "commander"
import { MaintenanceError } from "../index"
import { Declined } from "./declined"
import { formatDuration } from "./duration"
import { exitCode, exitCodeOf } from "./exit-code"
import { InputFault } from "./input-fault"
import { Interruption } from "./interruption"
import { plainLines } from "./plain"
import { note, printJson, styled } from "./screen"

const guides = "https://github.com/typeorm-maintenance-mode/typeorm-maintenance-mode/blob/main/docs/guides"
const name = "typeorm-maintenance"

/** Next steps for a person, by exit code. */
const nextSteps: Readonly<Record<number, readonly string[]>> = {
  [exitCode.input]: [`${guides}/cli.md`],
  [exitCode.notMaintainer]: [
    `${name} status`,
    "Ask the maintainer to leave or to transfer the window to you, or act as an emergency user with --emergency.",
    `${guides}/operating.md#somebody-else-holds-it`,
  ],
  [exitCode.drainTimeout]: [
    `${name} blockers`,
    "Retry with a longer --drain, or with --then terminate.",
    `${guides}/operating.md#who-blocks`,
  ],
  [exitCode.windowEnded]: [`${name} journal --limit 5`, `${guides}/operating.md#what-happened-last-night`],
  [exitCode.unavailable]: [
    `Retry. If it stays so: ${name} doctor`,
    `${guides}/operating.md#the-database-does-not-answer`,
  ],
  [exitCode.setup]: [`${name} doctor`, `${guides}/operating.md#the-installation-is-wrong`],
  [exitCode.unknown]: [`${name} status`, `${guides}/operating.md#it-is-not-known-what-holds`],
}

/** Reports an error, and returns the exit code. `command` is the command that failed, if it is known. */
export function reportFailure(error: unknown, isJson: boolean, command?: string): number {
  // Commander has printed its own message, or help was asked for.
  if (error instanceof CommanderError && error.exitCode === 0) return exitCode.done
  if (error instanceof Interruption || error instanceof Declined) {
    if (!isJson) note(error.message)
    else
      printJson({
        error: { name: error.constructor.name, message: error.message, exitCode: error.exitCode },
        next_steps: [],
      })
    return error.exitCode
  }
  const isUsage = error instanceof CommanderError
  const code = isUsage ? exitCode.input : exitCodeOf(error)
  const help = code === exitCode.input ? [`${name} help ${command ?? ""}`.trimEnd()] : []
  const steps = [...help, ...(nextSteps[code] ?? [])]
  if (isJson) {
    printJson({ error: { ...factsOf(error), exitCode: code }, next_steps: steps })
    return code
  }
  if (!isUsage) note(`${styled("red", "error:", process.stderr)} ${plainLines(messageOf(error, code))}`)
  for (const [index, step] of steps.entries()) note(`${index === 0 ? "next: " : "      "} ${step}`)
  return code
}

function factsOf(error: unknown): object {
  if (error instanceof CommanderError)
    return { name: "InputFault", message: error.message.replace(/^error: /, "") }
  const { name: errorName, message, code } = error as Error & { code?: unknown }
  if (error instanceof MaintenanceError)
    return { ...error, name: errorName, message: detailedMessageOf(error) }
  return { name: errorName, code, message }
}

function messageOf(error: unknown, code: number): string {
  if (error instanceof MaintenanceError) return detailedMessageOf(error)
  if (error instanceof InputFault) return error.message
  // A fault of this program: the stack says where.
  return code === exitCode.unexpected ? ((error as Error).stack ?? String(error)) : (error as Error).message
}

/** The message for operators, in the words of the command line: that of a refusal is for the public. */
function detailedMessageOf(error: MaintenanceError & { readonly detailedMessage?: string }): string {
  return wordings.reduce(
    // TypeScript has an overload for each kind of words.
    (message, [pattern, words]) =>
      typeof words === "string" ? message.replaceAll(pattern, words) : message.replaceAll(pattern, words),
    error.detailedMessage ?? error.message,
  )
}

/** Names of options and calls in the errors of the API, and their names in the command line. */
const wordings: readonly (readonly [RegExp, string | ((...match: string[]) => string)])[] = [
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
  [/, and migrate is false\./g, "."],
  [
    /must be a number of milliseconds from (\d+) to (\d+), not (\d+)\./g,
    (_, least, most, given) =>
      `must be from ${formatDuration(Number(least))} to ${formatDuration(Number(most))}, not ${formatDuration(Number(given))}.`,
  ],
]
