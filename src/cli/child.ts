import { type ChildProcess, spawn } from "node:child_process"
import { constants } from "node:os"
import { exitCode } from "./exit-code"

/** Thrown when a command could not be started. */
export class SpawnFault extends Error {
  readonly exitCode: number

  constructor(command: string, cause: NodeJS.ErrnoException) {
    const isMissing = cause.code === "ENOENT"
    super(
      isMissing
        ? `There is no program "${command}".`
        : `"${command}" could not be started: ${cause.message}.`,
    )
    this.exitCode = isMissing ? exitCode.notFound : exitCode.notExecutable
  }
}

const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const
/** Time in which a command may end by a signal that the terminal has sent to it, too, in milliseconds. */
const ownSignalMs = 200

/**
 * Runs a command with this process's input and output; resolves with its exit code, 128 and the signal's number if a
 * signal ended it. Signals to this process are passed on. Throws SpawnFault.
 */
export function runChild(
  [command, ...args]: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let child: ChildProcess
    try {
      child = spawn(command as string, args, { stdio: "inherit", env: { ...process.env, ...environment } })
    } catch (error) {
      return reject(new SpawnFault(command as string, error as NodeJS.ErrnoException))
    }
    const timers: NodeJS.Timeout[] = []
    const forward = (signal: NodeJS.Signals) => {
      // A terminal, or a signal to the group, reaches the command as well. Twice is once too often: many programs take
      // the second for "at once". Only SIGTERM is never the terminal's.
      if (signal === "SIGTERM") child.kill(signal)
      else timers.push(setTimeout(() => child.kill(signal), ownSignalMs))
    }
    for (const signal of forwarded) process.on(signal, forward)
    const ended = () => {
      for (const timer of timers) clearTimeout(timer)
      for (const signal of forwarded) process.off(signal, forward)
    }
    child.once("error", (error) => {
      ended()
      reject(new SpawnFault(command as string, error))
    })
    child.once("exit", (code, signal) => {
      ended()
      resolve(signal ? 128 + constants.signals[signal] : (code ?? 0))
    })
  })
}
