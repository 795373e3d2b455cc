import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"

/** To end so many attempts in every loop (the one that a loop is in is the first), or to stop. */
export type ToWriter = { readonly attempts: number } | "stop"
/** What a writer answers: that it is ready, and what its attempts came to since it answered last. */
export type FromWriter = "ready" | readonly Attempt[]

/** A try to write. */
export interface Attempt {
  readonly door: string
  /** The number of the shop that it was tried in, where there are several. */
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

  /** Starts a process of a script beside this file for each list of arguments. */
  static async start(script: string, args: string[][]): Promise<Writers> {
    const writers = new Writers(args.map((list) => fork(join(__dirname, script), list)))
    await writers.#all()
    return writers
  }

  /**
   * Resolves when every loop of every writer has ended the attempt that it was in, and those that it began later up to
   * this number; with all attempts since it was asked last.
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
