import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import type { EnterOptions, Mode } from "../../src"
import type { Action, FromMember, ToMember } from "./member"

/** A separate process with the plugin. */
export class Member {
  readonly #process: ChildProcess

  private constructor(process: ChildProcess) {
    this.#process = process
  }

  /** Starts a process. Resolves when it enforces. */
  static async start(url: string): Promise<Member> {
    const member = new Member(fork(join(__dirname, "member.js"), [url], { execArgv: [] }))
    await member.#answer()
    return member
  }

  get pid(): number {
    return this.#process.pid as number
  }

  /**
   * Runs a statement there, always on the same connection. Resolves with `done` or the class of the error.
   */
  run(sql: string, as?: string): Promise<string> {
    return this.act({ sql: [sql], ...(as === undefined ? {} : { as }) })
  }

  /** Enters a mode there. Resolves with `done` or the class of the error. */
  enter(mode: Mode, options: EnterOptions): Promise<string> {
    return this.act({ enter: mode, options })
  }

  /**
   * Runs an action there. Resolves with `done` or the class of the error. Rejects if the process is killed
   * meanwhile.
   */
  async act(action: Action): Promise<string> {
    const answer = this.#answer()
    this.#process.send(action)
    const message = await answer
    return message === "ready" ? message : message.outcome
  }

  /** Sends a signal: SIGKILL, SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Asks the process to end. Resolves when it has ended or was killed. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exit = once(this.#process, "exit")
    this.#process.send("stop" satisfies ToMember)
    await exit
  }

  async #answer(): Promise<FromMember> {
    const exited = (code: number | null, signal: string | null) => {
      throw new Error(`A member exited with ${code ?? signal}.`)
    }
    const exit = once(this.#process, "exit").then(([code, signal]) => exited(code, signal))
    exit.catch(() => undefined)
    const [message] = await Promise.race([once(this.#process, "message"), exit])
    return message as FromMember
  }
}
