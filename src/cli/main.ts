#!/usr/bin/env node
import { Declined } from "./declined"
import { exitCode } from "./exit-code"
import { reportFailure } from "./failure"
import { Interruption } from "./interruption"
import { makeProgram } from "./program"
import type { ActingOptions } from "./session"
import { flushed, outliveOutput } from "./screen"
import { showWarnings } from "./warnings"

/** Runs the command line, and ends the process with its exit code. */
async function main(args: readonly string[]): Promise<void> {
  outliveOutput()
  showWarnings()
  process.exitCode = await codeOf(args)
  await flushed()
  // Not by itself: the file of -d may keep the process alive.
  process.exit()
}

/** Runs the command; returns its exit code. */
async function codeOf(args: readonly string[]): Promise<number> {
  const result = { code: exitCode.done as number, options: {} as ActingOptions }
  const program = makeProgram({
    answer: (code) => (result.code = code),
    begin(options) {
      result.options = options
      // If the process ends before the command does, as by an exit in the file of -d, nothing was done.
      process.exitCode = exitCode.unexpected
    },
    isJson: isJson(args),
  })
  try {
    await program.parseAsync(args, { from: "user" })
    return result.code
  } catch (error) {
    const command = args[0]?.startsWith("-") ? undefined : args[0]
    const code = reportFailure(error, { isJson: isJson(args), command, options: result.options })
    return code !== exitCode.done && isNotRun(args, error) ? exitCode.notRun : code
  }
}

/** Whether the result is to be JSON, even if the arguments could not be parsed. */
function isJson(args: readonly string[]): boolean {
  // It has no such option, but the command that it runs may have one.
  if (args[0] === "run") return false
  const end = args.indexOf("--")
  return args.slice(0, end < 0 ? undefined : end).includes("--json")
}

/** Whether an error means that `run` has not run its command. Any other exit code might be the command's own. */
function isNotRun([command]: readonly string[], error: unknown): boolean {
  return command === "run" && !(error instanceof Interruption || error instanceof Declined)
}

void main(process.argv.slice(2))
