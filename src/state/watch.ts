import type { Notification } from "pg"
import type { MaintenanceStatus, StampedState } from "../mode/mode"
import { ControlConnection, type ClientFactory } from "./control-connection"
import { channelOf } from "./schema"
import { StateStore } from "./state-store"

/** How long a notification to oneself may take before LISTEN is taken not to deliver (a transaction pooler). */
const echoWithinMs = 2000
const firstRetryMs = 200
const lastRetryMs = 10_000

/**
 * Keeps the mode in memory, by LISTEN. What it knows serves to refuse early; it never allows a write. While the
 * connection is down, or LISTEN does not deliver, nothing is known, and the fence alone decides.
 */
export class Watch {
  readonly store: StateStore
  readonly #control: ControlConnection
  readonly #channel: string
  readonly #onChange: (status: MaintenanceStatus) => void
  #known: StampedState | undefined
  #lastEpoch = 0
  #isListening = false
  #isRunning = false
  #retry: NodeJS.Timeout | undefined
  #echo: { token: string; heard(): void } | undefined

  constructor(createClient: ClientFactory, schema: string, onChange: (status: MaintenanceStatus) => void) {
    this.#control = new ControlConnection(createClient, {
      notification: (notification) => this.#notified(notification),
      lost: () => this.#lost(),
    })
    this.store = new StateStore(this.#control, schema)
    this.#channel = channelOf(schema)
    this.#onChange = onChange
  }

  /** The state, if it is known to be current. */
  get known(): StampedState | undefined {
    return this.#isListening ? this.#known : undefined
  }

  /** Begins to listen; resolves with the state known, or rejects if it cannot be read. */
  async start(): Promise<void> {
    this.#isRunning = true
    await this.#listen()
  }

  /** Ends the connection and forgets what was known. It can be started again. */
  async stop(): Promise<void> {
    this.#isRunning = this.#isListening = false
    clearTimeout(this.#retry)
    this.#echo?.heard()
    await this.#control.close()
    this.#known = undefined
    this.#lastEpoch = 0
  }

  /** Reads the state now, and tells the listener if it is new. */
  async refresh(): Promise<MaintenanceStatus> {
    // All reads go over one connection, one after the other: what was read last is the latest.
    let state = await this.store.read()
    if (state.stamp === undefined) {
      // As after a switch that was rolled back. If it cannot be mended, the fence reads the state each time.
      await this.store.restamp().catch(() => undefined)
      state = await this.store.read()
    }
    this.#known = state
    const { status } = state
    if (status.epoch !== this.#lastEpoch) {
      const isFirst = this.#lastEpoch === 0
      this.#lastEpoch = status.epoch
      if (!isFirst) this.#onChange(status)
    }
    return status
  }

  /** Forgets what was known, because the server says that it is another state by now, and reads it anew. */
  doubt(): void {
    if (this.#known === undefined) return
    this.#known = undefined
    this.refresh().catch(() => this.#lost())
  }

  async #listen(): Promise<void> {
    await this.#control.query(`listen "${this.#channel}"`)
    this.#isListening = await this.#hearsItself()
    await this.refresh()
  }

  async #hearsItself(): Promise<boolean> {
    const token = `echo ${process.pid} ${Math.random()}`
    let timer: NodeJS.Timeout | undefined
    const echo = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), echoWithinMs)
      this.#echo = { token, heard: () => resolve(true) }
    })
    try {
      await this.#control.query("select pg_notify($1, $2)", [this.#channel, token])
      return await echo
    } finally {
      clearTimeout(timer)
      this.#echo = undefined
    }
  }

  #notified({ channel, payload }: Notification): void {
    if (channel !== this.#channel) return
    if (payload === this.#echo?.token) this.#echo?.heard()
    else if (!payload?.startsWith("echo ")) {
      // What was known is no longer true; until the new state is read, the fence decides.
      this.#known = undefined
      this.refresh().catch(() => this.#lost())
    }
  }

  #lost(): void {
    this.#isListening = false
    this.#known = undefined
    this.#reconnect(firstRetryMs)
  }

  #reconnect(afterMs: number): void {
    if (!this.#isRunning) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(
      () => void this.#listen().catch(() => this.#reconnect(Math.min(afterMs * 2, lastRetryMs))),
      afterMs * (0.5 + Math.random()),
    ).unref()
  }
}
