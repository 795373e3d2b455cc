import { type ChildProcess, fork, type ForkOptions } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import type { FromOpener, Opened, Opening, ToOpener } from "./messages"

/** A separate process that has the plugin and a pg patched by an instrument, and opens doors. */
export class Opener {
  readonly #process: ChildProcess
  readonly #exit: Promise<never>

  private constructor(process: ChildProcess) {
    this.#process = process
    this.#exit = once(process, "exit").then(([code, signal]) => {
      throw new Error(`The process exited with ${code ?? signal}.`)
    })
    this.#exit.catch(() => undefined)
  }

  /** Starts a process. Resolves once it enforces. */
  static async start(instrument: string, url: string): Promise<Opener> {
    const file = join(__dirname, "instrumented.js")
    const options: ForkOptions = { execArgv: ["--enable-source-maps"], serialization: "advanced" }
    const opener = new Opener(fork(file, [instrument, url], options))
    await opener.#answer()
    return opener
  }

  /** Opens a door in the process. Rejects if the process ends. */
  async open(opening: Opening): Promise<Opened> {
    this.#process.send(opening satisfies ToOpener)
    return (await this.#answer()) as Opened
  }

  /** Resolves when the process has ended. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    this.#process.send("stop" satisfies ToOpener)
    await this.#exit.catch(() => undefined)
  }

  async #answer(): Promise<FromOpener> {
    const [message] = (await Promise.race([once(this.#process, "message"), this.#exit])) as [FromOpener]
    return message
  }
}
