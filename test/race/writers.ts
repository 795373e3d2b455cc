import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"

export type ToWriter = "lap" | "stop"
export type FromWriter = "ready" | "lapped"

/** Processes that write as fast as they can. */
export class Writers {
  readonly #processes: ChildProcess[]

  private constructor(processes: ChildProcess[]) {
    this.#processes = processes
  }

  static async start(url: string, count: number): Promise<Writers> {
    const writers = new Writers(
      Array.from({ length: count }, () => fork(join(__dirname, "writer.js"), [url])),
    )
    await writers.#all("ready")
    return writers
  }

  /** Resolves when every loop of every writer has ended the attempt that it was in, and one that it began later. */
  async lap(): Promise<void> {
    const lapped = this.#all("lapped")
    for (const process of this.#processes) process.send("lap" satisfies ToWriter)
    await lapped
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

  async #all(expected: FromWriter): Promise<void> {
    await Promise.all(
      this.#processes.map(
        (process) =>
          new Promise<void>((resolve, reject) => {
            const died = (code: number | null) => reject(new Error(`A writer exited with ${code}.`))
            process.once("exit", died)
            process.once("message", (message) => {
              process.removeListener("exit", died)
              if (message === expected) resolve()
              else reject(new Error(`A writer said ${JSON.stringify(message)}, not ${expected}.`))
            })
          }),
      ),
    )
  }
}
