import type { ControlConnection } from "../state/control-connection"
import { codeOf, isLocked, sqlState } from "../sqlstate"

/**
 * The result of a LISTEN: notifications arrive, or they do not, or the server is a replica, which does not
 * support LISTEN.
 */
export type Heard = "all" | "nothing" | "standby"

/**
 * Time for a notification to arrive through a pooler, in milliseconds. After that, LISTEN is considered not
 * to deliver.
 */
const echoWithinMs = 2000

/** Sends a notification, or fails if locks prevent that for the moment. Returns the sending backend. */
const notify = "select pg_backend_pid() as pid, set_config('lock_timeout', '250', true), pg_notify($1, $2)"

/** Listens to a channel, and tests with notifications of its own whether LISTEN delivers. */
export class Hearing {
  readonly #control: ControlConnection
  readonly #channel: string
  #echo: { readonly payload: string; readonly end: (isHeard: boolean) => void } | undefined

  constructor(control: ControlConnection, channel: string) {
    this.#control = control
    this.#channel = channel
  }

  /** Starts listening, and determines whether notifications arrive. */
  async listen(): Promise<Heard> {
    try {
      await this.#control.query(`listen "${this.#channel}"`)
    } catch (error) {
      if (codeOf(error) === sqlState.readOnly) return "standby"
      throw error
    }
    return (await this.#hearsItself()) ? "all" : "nothing"
  }

  /** Handles a notification. Returns whether it was only a test. */
  takes(payload: string | undefined): boolean {
    if (payload === this.#echo?.payload) this.#echo?.end(true)
    return payload?.startsWith("echo ") === true
  }

  /** Ends a test that is waiting, as if it had succeeded. */
  stop(): void {
    this.#echo?.end(true)
  }

  /** Whether a notification arrives that this connection has sent or, behind a pooler, another one. */
  async #hearsItself(): Promise<boolean> {
    let listener: number | undefined
    const isHeard = await this.#isHeard(async (payload) => {
      const { rows } = await this.#control.query<{ pid: number }>(notify, [this.#channel, payload])
      listener = rows[0]?.pid
      // A session receives its own notification before the statement completes.
      return false
    }).catch((error: unknown) => {
      // A commit that waits for a missing standby blocks every notification of the server. On a direct
      // connection, LISTEN delivers once that is over.
      if (!isLocked(error) || !this.#control.isDirect) throw error
      return true
    })
    // A pooler may have forwarded it only because it was serving this connection at that moment.
    return this.#control.isDirect ? isHeard : this.#hearsOthers(listener)
  }

  #hearsOthers(listener: number | undefined): Promise<boolean> {
    return this.#isHeard(async (payload) => {
      const { rows } = await this.#control.queryElsewhere<{ pid: number }>(notify, [this.#channel, payload])
      // If the same backend answers, the pooler has lent it to another connection, so its notifications do
      // not arrive here.
      return rows[0]?.pid !== listener
    })
  }

  /** Whether a notification that is sent arrives. `send` resolves with whether to wait for it. */
  async #isHeard(send: (payload: string) => Promise<boolean>): Promise<boolean> {
    const payload = `echo ${process.pid} ${Math.random()}`
    let isHeard = false
    let timer: NodeJS.Timeout | undefined
    const ended = new Promise<void>((resolve) => {
      const end = (heard: boolean) => {
        isHeard = heard
        resolve()
      }
      this.#echo = { payload, end }
    })
    try {
      if ((await send(payload)) && !isHeard) {
        timer = setTimeout(() => this.#echo?.end(false), echoWithinMs)
        await ended
      }
      return isHeard
    } finally {
      clearTimeout(timer)
      this.#echo = undefined
    }
  }
}
