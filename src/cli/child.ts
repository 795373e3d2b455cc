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

/** Passes the signals to this process on to a command. None of them ends this process while it exists. */
export class ForwardedSignals {
  readonly #timers = new Set<NodeJS.Timeout>()
  #child: ChildProcess | undefined

  constructor() {
    for (const signal of forwarded) process.on(signal, this.#forward)
  }

  /** Passes the signals on to this command from now on. */
  to(child: ChildProcess): void {
    this.#child = child
    child.once("exit", () => this.#forget())
  }

  /** Leaves the signals to this process again. */
  close(): void {
    this.#forget()
    for (const signal of forwarded) process.off(signal, this.#forward)
  }

  readonly #forward = (signal: NodeJS.Signals) => {
    // A terminal, or a signal to the group, reaches the command as well. Twice is once too often: many programs take
    // the second for "at once". Only SIGTERM is never the terminal's.
    if (signal === "SIGTERM") this.#child?.kill(signal)
    else this.#timers.add(setTimeout(() => this.#child?.kill(signal), ownSignalMs))
  }

  #forget(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#child = undefined
  }
}

/**
 * Runs a command with this process's input and output; resolves with its exit code, 128 and the signal's number if a
 * signal ended it. Throws SpawnFault.
 */
export function runChild(
  [command, ...args]: readonly string[],
  environment: NodeJS.ProcessEnv,
  signals: ForwardedSignals,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let child: ChildProcess
    try {
      child = spawn(command as string, args, { stdio: "inherit", env: { ...process.env, ...environment } })
    } catch (error) {
      return reject(new SpawnFault(command as string, error as NodeJS.ErrnoException))
    }
    signals.to(child)
    child.on("error", (error) => {
      // A signal that may not be sent, as to a command of another user, is an error, too. The command goes on.
      if (child.pid === undefined) reject(new SpawnFault(command as string, error))
    })
    child.once("exit", (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 0)))
  })
}
