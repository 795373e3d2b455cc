import type { ControlConnection } from "../state/control-connection"
import { isLocked } from "../state/sqlstate"

/** What became of a LISTEN: what is notified is heard, or is not, or the server is a replica, on which nobody can listen. */
export type Heard = "all" | "nothing" | "standby"

/** How long a notification may take that comes through a pooler before LISTEN is taken not to deliver. */
const echoWithinMs = 2000
/** PostgreSQL's code for what a replica does not run. */
const notOnStandby = "25006"

/** Sends a notification, unless that is not possible for a moment; returns which backend has sent it. */
const notify = "select pg_backend_pid() as pid, set_config('lock_timeout', '250', true), pg_notify($1, $2)"

/** Listens to a channel, and finds out by notifications of its own whether LISTEN delivers. */
export class Hearing {
  readonly #control: ControlConnection
  readonly #channel: string
  #echo: { readonly payload: string; readonly end: (isHeard: boolean) => void } | undefined

  constructor(control: ControlConnection, channel: string) {
    this.#control = control
    this.#channel = channel
  }

  /** Listens. */
  async listen(): Promise<Heard> {
    try {
      await this.#control.query(`listen "${this.#channel}"`)
    } catch (error) {
      if ((error as { code?: string }).code === notOnStandby) return "standby"
      throw error
    }
    return (await this.#hearsItself()) ? "all" : "nothing"
  }

  /** Takes a notification; returns whether it was of no concern to others. */
  takes(payload: string | undefined): boolean {
    if (payload === this.#echo?.payload) this.#echo?.end(true)
    return payload?.startsWith("echo ") === true
  }

  /** Waits no more, and has nothing to say against it. */
  stop(): void {
    this.#echo?.end(true)
  }

  /** Whether a notification is heard that is sent by this connection; behind a pooler, by another. */
  async #hearsItself(): Promise<boolean> {
    let listener: number | undefined
    const isHeard = await this.#isHeard(async (payload) => {
      const { rows } = await this.#control.query<{ pid: number }>(notify, [this.#channel, payload])
      listener = rows[0]?.pid
      // What one notifies oneself of comes before the statement is done.
      return false
    }).catch((error: unknown) => {
      // A commit that waits for a missing standby keeps the whole server from notifying. PostgreSQL itself is heard later.
      if (!isLocked(error) || !this.#control.isDirect) throw error
      return true
    })
    // A pooler may have passed it on only because it was just serving this connection.
    return this.#control.isDirect ? isHeard : this.#hearsOthers(listener)
  }

  #hearsOthers(listener: number | undefined): Promise<boolean> {
    return this.#isHeard(async (payload) => {
      const { rows } = await this.#control.queryElsewhere<{ pid: number }>(notify, [this.#channel, payload])
      // The backend that listens serves another connection by now: so nothing is heard of what it is notified of.
      return rows[0]?.pid !== listener
    })
  }

  /** Whether a notification is heard that is sent; after that it is waited for, if `send` says so. */
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
