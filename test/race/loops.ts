import type { Attempt, FromWriter, ToWriter } from "./writers"

/** Runs loops of attempts in this process, as the parent process demands, until it is told to stop. */
export class Loops {
  readonly #attempt: (loop: number) => Promise<Attempt>
  readonly #count: number
  #attempts: Attempt[] = []
  /** Number of attempts that each loop still has to complete in this lap. */
  #remaining: number[] = []
  #isStopped = false

  constructor(count: number, attempt: (loop: number) => Promise<Attempt>) {
    this.#count = count
    this.#attempt = attempt
  }

  async run(): Promise<void> {
    process.on("message", (message: ToWriter) => {
      if (message === "stop") this.#isStopped = true
      else this.#remaining = Array.from({ length: this.#count }, () => message.attempts)
    })
    // The parent process is gone.
    process.once("disconnect", () => process.exit())
    send("ready")
    await Promise.all(Array.from({ length: this.#count }, (_, loop) => this.#loop(loop)))
  }

  async #loop(loop: number): Promise<void> {
    while (!this.#isStopped) {
      this.#attempts.push(await this.#attempt(loop))
      this.#ended(loop)
      // A refusal in exclusive mode takes no round trip, so the loop must let messages in.
      await new Promise(setImmediate)
    }
  }

  #ended(loop: number): void {
    if (this.#remaining.length === 0) return
    this.#remaining[loop] = (this.#remaining[loop] ?? 0) - 1
    if (this.#remaining.some((count) => count > 0)) return
    this.#remaining = []
    send(this.#attempts.splice(0))
  }
}

function send(message: FromWriter): void {
  process.send?.(message)
}
