#!/usr/bin/env node
import { Declined } from "./declined"
import { exitCode } from "./exit-code"
import { reportFailure } from "./failure"
import { Interruption } from "./interruption"
import { makeProgram } from "./program"
import { showWarnings } from "./warnings"

/** Runs the command line, and sets the exit code. */
async function main(args: readonly string[]): Promise<void> {
  try {
    await makeProgram().parseAsync(args, { from: "user" })
  } catch (error) {
    const code = reportFailure(error, isJson(args))
    process.exitCode = code !== exitCode.done && isNotRun(args, error) ? exitCode.notRun : code
  }
}

/** Whether the result is to be JSON, even if the arguments could not be parsed. */
function isJson(args: readonly string[]): boolean {
  const end = args.indexOf("--")
  return args.slice(0, end < 0 ? undefined : end).includes("--json")
}

/** Whether an error means that `run` has not run its command. Any other exit code might be the command's own. */
function isNotRun([command]: readonly string[], error: unknown): boolean {
  return command === "run" && !(error instanceof Interruption || error instanceof Declined)
}

// A reader that has seen enough, such as head, has closed the pipe.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error
  process.exit()
})
showWarnings()
void main(process.argv.slice(2))
