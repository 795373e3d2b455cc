import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"

/**
 * A message to a writer: to complete this many attempts in every loop, including the current one, or to stop.
 */
export type ToWriter = { readonly attempts: number } | "stop"
/** A message from a writer: that it is ready, or its attempts since the last message. */
export type FromWriter = "ready" | readonly Attempt[]

/** An attempt to write. */
export interface Attempt {
  readonly door: string
  /** The number of the shop, where there are several. */
  readonly shop?: number
  /** `done`, or the class and the code of the error. */
  readonly outcome: string
}

/** Processes that write as fast as they can. */
export class Writers {
  readonly #processes: ChildProcess[]

  private constructor(processes: ChildProcess[]) {
    this.#processes = processes
  }

  /** Starts a process with a script of this folder for each list of arguments. */
  static async start(script: string, args: string[][]): Promise<Writers> {
    const writers = new Writers(args.map((list) => fork(join(__dirname, script), list)))
    await writers.#all()
    return writers
  }

  /**
   * Resolves when every loop of every writer has completed its current attempt and further ones up to this
   * number. Returns all attempts since the last call.
   */
  async lap(attempts = 2): Promise<Attempt[]> {
    const lapped = this.#all()
    for (const process of this.#processes) process.send({ attempts } satisfies ToWriter)
    return (await lapped).flatMap((message) => (message === "ready" ? [] : [...message]))
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#processes.map((process) => {
        const exited = new Promise<number | null>((resolve) => process.once("exit", resolve))
        process.send("stop" satisfies ToWriter)
        return exited
      }),
    )
  }

  #all(): Promise<FromWriter[]> {
    return Promise.all(
      this.#processes.map(
        (process) =>
          new Promise<FromWriter>((resolve, reject) => {
            const died = (code: number | null) => reject(new Error(`A writer exited with ${code}.`))
            process.once("exit", died)
            process.once("message", (message) => {
              process.removeListener("exit", died)
              resolve(message as FromWriter)
            })
          }),
      ),
    )
  }
}
