import { CommanderError } from "commander"
import { MaintenanceError } from "../index"
import { Declined } from "./declined"
import { exitCode, exitCodeOf } from "./exit-code"
import { InputFault } from "./input-fault"
import { Interruption } from "./interruption"
import { nextCommand } from "./next-command"
import { plainLines, shellWord } from "./plain"
import { note, printJson, printJsonLine, styled } from "./screen"
import type { ActingOptions } from "./session"
import type { TargetOptions } from "./target"
import { inWordsOfCommands } from "./text/wordings"

const guides = "https://github.com/typeorm-maintenance-mode/typeorm-maintenance-mode/blob/main/docs/guides"
/** Next steps for a person, by exit code. `run` makes a command of its words. */
const nextSteps = (run: (command: string) => string): Readonly<Record<number, readonly string[]>> => ({
  [exitCode.input]: [`${guides}/cli.md`],
  [exitCode.notMaintainer]: [
    run("status"),
    "Ask the maintainer to leave or to transfer the window to you, or act as an emergency user with --emergency.",
    `${guides}/operating.md#somebody-else-holds-it`,
  ],
  [exitCode.drainTimeout]: [
    run("blockers"),
    "Retry with a longer --drain, or with --then terminate.",
    `${guides}/operating.md#who-blocks`,
  ],
  [exitCode.windowEnded]: [run("journal --limit 5"), `${guides}/operating.md#what-happened-last-night`],
  [exitCode.unavailable]: [
    `Retry. If it stays so: ${run("doctor")}`,
    `${guides}/operating.md#the-database-does-not-answer`,
  ],
  [exitCode.setup]: [run("doctor"), `${guides}/operating.md#the-installation-is-wrong`],
  [exitCode.unknown]: [run("status"), `${guides}/operating.md#the-outcome-is-unknown`],
})

/** Known facts of the command that failed. */
export interface FailedCommand {
  readonly isJson?: boolean
  /** Its name, if it has one. */
  readonly command?: string | undefined
  /** Its options, if they could be parsed. */
  readonly options?: ActingOptions
}

/** Reports an error, and returns the exit code. */
export function reportFailure(
  error: unknown,
  { isJson = false, command, options = {} }: FailedCommand,
): number {
  // A line of watch is a document.
  const printFailure = command === "watch" ? printJsonLine : printJson
  // Help was asked for, and commander has printed it.
  if (error instanceof CommanderError && error.exitCode === 0) return exitCode.done
  if (error instanceof Interruption || error instanceof Declined) {
    if (!isJson) note(error.message)
    else
      printFailure({
        error: { name: error.constructor.name, message: error.message, exitCode: error.exitCode },
        next_steps: [],
      })
    return error.exitCode
  }
  const code = error instanceof CommanderError ? exitCode.input : exitCodeOf(error)
  const ownSteps = nextSteps((words) => nextCommand(words, options))[code] ?? []
  const steps = [...(code === exitCode.input ? [meantBy(error, command, options)] : []), ...ownSteps]
  if (isJson) {
    printFailure({ error: { ...factsOf(error, options), exitCode: code }, next_steps: steps })
    return code
  }
  note(`${styled("red", "error:", process.stderr)} ${plainLines(messageOf(error, code, options))}`)
  for (const [index, step] of steps.entries()) note(`${index === 0 ? "next: " : "      "} ${step}`)
  return code
}

/** The command that the user may have meant, or else the help. */
function meantBy(error: unknown, command: string | undefined, options: ActingOptions): string {
  if (error instanceof InputFault && error.next !== undefined) {
    const as = options.as === undefined ? "" : ` --as=${shellWord(options.as)}`
    return nextCommand(`${error.next}${as}`, options)
  }
  const isUnknown =
    error instanceof CommanderError && ["commander.unknownCommand", "commander.help"].includes(error.code)
  return nextCommand(command === undefined || isUnknown ? "help" : `help ${command}`)
}

function factsOf(error: unknown, options: TargetOptions): object {
  if (error instanceof CommanderError) return { name: "InputFault", message: usageFault(error) }
  const { name: errorName, message, code } = error as Error & { code?: unknown }
  if (error instanceof MaintenanceError)
    return { ...error, name: errorName, message: detailedMessageOf(error, options) }
  return { name: errorName, code, message }
}

function messageOf(error: unknown, code: number, options: TargetOptions): string {
  if (error instanceof CommanderError) return usageFault(error)
  if (error instanceof MaintenanceError) return detailedMessageOf(error, options)
  if (error instanceof InputFault) return error.message
  // A fault of this program: the stack says where.
  return code === exitCode.unexpected ? ((error as Error).stack ?? String(error)) : (error as Error).message
}

/** The fault that commander has found in the arguments. If it has found none, it has printed the help. */
function usageFault({ code, message }: CommanderError): string {
  return code === "commander.help" ? "Name a command." : message.replace(/^error: /, "")
}

/** The message for operators, in the words of the command line: that of a refusal is for the public. */
function detailedMessageOf(
  error: MaintenanceError & { readonly detailedMessage?: string },
  options: TargetOptions,
): string {
  return inWordsOfCommands(error.detailedMessage ?? error.message, options)
}
