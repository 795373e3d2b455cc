import type { Socket } from "node:net"
import type { Client, ClientConfig, Notification, QueryResult, QueryResultRow } from "pg"
import { MaintenanceSetupError } from "../errors"

/** What a control connection tells its owner. */
export interface ControlEvents {
  notification(notification: Notification): void
  lost(): void
}

/** A `pg` client; these are missing in its types. */
type ControlClient = Client & {
  ref(): void
  unref(): void
  readonly processID: number | null
  readonly connection: { readonly stream: Socket }
}

/** Makes clients for the same server and role as the DataSource's pool. */
export type ClientFactory = (settings: ClientConfig) => ControlClient

/** How long to wait for an answer before the network is taken to be broken: no statement for the state takes long. */
const patienceMs = 10_000

/** How long to wait for a lock that somebody has on the state, so that others do not wait behind that. */
const lockWithinMs = 2000

/**
 * One connection outside the pool, for the state: it works when the pool is exhausted, and it keeps no process
 * alive. It is opened when first used and again after it was lost; statements run one after the other.
 */
export class ControlConnection {
  readonly #createClient: ClientFactory
  readonly #events: ControlEvents
  #client: Promise<ControlClient> | undefined
  #current: ControlClient | undefined
  /** What is being opened. */
  #coming: ControlClient | undefined
  #turn: Promise<unknown> = Promise.resolve()
  /** Counts how often nobody has answered: what waits for its turn then is not sent, or it would wait as long, one after the other. */
  #silences = 0
  #isClosed = false
  #isDirect = false

  constructor(createClient: ClientFactory, events: ControlEvents) {
    this.#createClient = createClient
    this.#events = events
  }

  /** Can be used again after `close`. */
  reopen(): void {
    this.#isClosed = false
  }

  /**
   * Runs one statement, after those asked for before. If there is no answer for so long, the connection is lost. Throws
   * MaintenanceSetupError if it is closed.
   */
  query<Row extends QueryResultRow>(
    text: string,
    values: unknown[] = [],
    withinMs = patienceMs,
  ): Promise<QueryResult<Row>> {
    const silences = this.#silences
    const result = this.#turn.then(() => {
      if (silences !== this.#silences) throw notSent()
      return this.#run<Row>(text, values, withinMs)
    })
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** As `query`, once, on a connection of its own. */
  async queryElsewhere<Row extends QueryResultRow>(
    text: string,
    values: unknown[],
  ): Promise<QueryResult<Row>> {
    const client = await this.#openClient()
    try {
      return await client.query<Row>(text, values)
    } finally {
      await end(client)
    }
  }

  /** Whether whom it is connected to is PostgreSQL itself, and no pooler that may give it another backend each time. */
  get isDirect(): boolean {
    return this.#isDirect
  }

  /** Gives the session up, as if the network had lost it: the server ends whatever it holds. One that is being opened comes to be. */
  drop(): void {
    const client = this.#current
    client?.connection.stream.destroy()
    if (client) this.#forget(client)
    else if (!this.#isClosed) this.#events.lost()
  }

  /** Ends the connection; what is asked for from now on is refused, and what has no answer soon is given up. */
  async close(): Promise<void> {
    this.#isClosed = true
    const giveUp = () => (this.#current ?? this.#coming)?.connection.stream.destroy()
    const givingUp = setTimeout(giveUp, closeWithinMs).unref()
    await this.#turn
    clearTimeout(givingUp)
    const opened = await this.#client?.catch(() => undefined)
    this.#current = this.#client = undefined
    if (opened) await end(opened)
  }

  async #run<Row extends QueryResultRow>(
    text: string,
    values: unknown[],
    withinMs: number,
  ): Promise<QueryResult<Row>> {
    if (this.#isClosed) throw closed()
    const opening = (this.#client ??= this.#open())
    const client = await opening.catch((error: Error) => {
      if (this.#client === opening) this.#client = undefined
      this.#silences++
      unsent.add(error)
      throw error
    })
    const { stream } = client.connection
    client.ref()
    const givingUp = setTimeout(() => {
      this.#silences++
      stream.destroy()
    }, withinMs)
    try {
      return await client.query<Row>(text, values)
    } finally {
      clearTimeout(givingUp)
      // Node keeps a listener of each such call on a socket that is closed.
      if (!stream.destroyed) client.unref()
    }
  }

  #forget(client: ControlClient): void {
    if (this.#current !== client) return
    this.#current = this.#client = undefined
    if (!this.#isClosed) this.#events.lost()
  }

  async #open(): Promise<ControlClient> {
    const client = await this.#openClient()
    this.#current = client
    client.on("notification", (notification) => this.#events.notification(notification))
    client.on("end", () => this.#forget(client))
    return client
  }

  async #openClient(): Promise<ControlClient> {
    let client: ControlClient | undefined
    try {
      client = this.#createClient({
        application_name: "typeorm-maintenance-mode",
        keepAlive: true,
        keepAliveInitialDelayMillis: patienceMs,
        connectionTimeoutMillis: patienceMs,
      })
      this.#coming = client
      await this.#prepare(client)
      return client
    } catch (error) {
      if (client) await end(client)
      throw error
    } finally {
      this.#coming = undefined
    }
  }

  async #prepare(client: ControlClient): Promise<void> {
    client.on("error", () => undefined)
    await client.connect()
    const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
    this.#isDirect = rows[0]?.pid === client.processID
    // Behind a pooler it would be set for others.
    if (!this.#isDirect) return
    await client.query(
      "set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off; " +
        `set lock_timeout = ${lockWithinMs}`,
    )
    // It idles by its nature. Not every version has all of them.
    await client.query(
      "select set_config(name, '0', false) from pg_catalog.pg_settings where name = any ($1)",
      [["statement_timeout", "transaction_timeout", "idle_session_timeout"]],
    )
  }
}

/** The failures of statements that the server has not been asked to run. */
const unsent = new WeakSet<Error>()

function notSent(): Error {
  const error = new Error("The database has not answered what was asked before, so this was not sent to it.")
  unsent.add(error)
  return error
}

/** Whether a statement that failed may have been run all the same: nothing was heard of it, or the session ended with it. */
export function mayHaveRun(error: unknown): boolean {
  const { code = "" } = error as { code?: string }
  const isRefused = /^[0-9A-Z]{5}$/.test(code) && !code.startsWith("57P")
  return error instanceof Error && !unsent.has(error) && !isRefused
}

/** How long an end may take before the socket is closed without one. */
const closeWithinMs = 2000

/** Ends a connection, whatever state it is in. */
async function end(client: ControlClient): Promise<void> {
  const givingUp = setTimeout(() => client.connection.stream.destroy(), closeWithinMs)
  await client.end().catch(() => undefined)
  clearTimeout(givingUp)
}

function closed(): MaintenanceSetupError {
  return new MaintenanceSetupError(
    "The DataSource was destroyed, or maintenance mode uninstalled from it, so its maintenance cannot be read or changed.",
  )
}
