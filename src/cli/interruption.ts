import { constants } from "node:os"

/** Thrown when a signal broke off a command. */
export class Interruption extends Error {
  readonly exitCode: number

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}.`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

/**
 * Runs work that a signal to end (SIGINT, SIGTERM, SIGHUP) breaks off: its signal is aborted with an Interruption. A second signal ends the
 * process at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = (signal: NodeJS.Signals) => {
    const interruption = new Interruption(signal)
    if (controller.signal.aborted) process.exit(interruption.exitCode)
    controller.abort(interruption)
  }
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const
  for (const signal of signals) process.on(signal, interrupt)
  try {
    return await work(controller.signal)
  } finally {
    for (const signal of signals) process.off(signal, interrupt)
  }
}
