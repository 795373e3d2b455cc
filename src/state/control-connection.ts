import type { Socket } from "node:net"
import type { Client, ClientConfig, Notification, QueryResult, QueryResultRow } from "pg"
import { StateUnavailableError } from "../errors"
import { ownParameters, ownSettings, patienceMs, sessionSettings, setUp } from "./control-settings"
import { destroyed } from "./destroyed"
import { isRefusedByServer } from "./sqlstate"
import { type Priority, Turns } from "./turns"

/** What a control connection tells its owner. */
export interface ControlEvents {
  notification(notification: Notification): void
  lost(): void
}

/** A `pg` client; these are missing in its types. */
type ControlClient = Client & {
  ref(): void
  unref(): void
  binary: boolean
  readonly processID: number | null
  readonly connection: { readonly stream: Socket }
  readonly connectionParameters: object
}

/** Makes clients for the same server and role as the DataSource's pool. */
export type ClientFactory = (settings: ClientConfig) => ControlClient

/** How a statement is run. */
export interface ControlOptions {
  /** How long to wait for an answer. Default: 10 seconds. */
  readonly withinMs?: number
  /** When it has its turn. Default: in the order of the calls. */
  readonly priority?: Priority | undefined
}

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
  readonly #turns = new Turns()
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
   * Runs one statement, after those asked for before, or as its priority says. If there is no answer for so long, the connection is lost. Throws
   * StateUnavailableError if it is closed, or does not answer.
   */
  query<Row extends QueryResultRow>(
    text: string,
    values: unknown[] = [],
    { withinMs = patienceMs, priority }: ControlOptions = {},
  ): Promise<QueryResult<Row>> {
    const silences = this.#silences
    return this.#turns.take(async () => {
      if (silences !== this.#silences) throw notSent()
      return this.#run<Row>(text, values, withinMs)
    }, priority)
  }

  /** As `query`, once, on a connection of its own; waits for an answer as long as it takes, if `withinMs` is not given. */
  async queryElsewhere<Row extends QueryResultRow>(
    text: string,
    values: unknown[],
    withinMs?: number,
  ): Promise<QueryResult<Row>> {
    const client = await this.#openClient()
    try {
      return await (withinMs === undefined
        ? client.query<Row>(text, values)
        : answered(client, () => client.query<Row>(text, values), withinMs))
    } finally {
      await end(client)
    }
  }

  /** Whether whom it is connected to is PostgreSQL itself, and no pooler that may give it another backend each time. */
  get isDirect(): boolean {
    return this.#isDirect
  }

  /** What PostgreSQL has the session wait for, by the name that pg_stat_activity has for that; undefined if it is not known. */
  async waitsFor(): Promise<string | undefined> {
    const pid = this.#isDirect ? this.#current?.processID : undefined
    const text = "select wait_event from pg_stat_activity where pid = $1"
    const { rows } = await this.queryElsewhere<{ wait_event: string | null }>(text, [pid])
    return rows[0]?.wait_event ?? undefined
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
    // After all that waits.
    await this.#turns.take(async () => undefined, "last")
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
    let isSilent = false
    const givingUp = setTimeout(() => {
      isSilent = true
      this.#silences++
      stream.destroy()
    }, withinMs)
    try {
      return await client.query<Row>(text, values)
    } catch (error) {
      throw isSilent ? unanswered(withinMs, error) : error
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
      client = this.#createClient(ownSettings)
      Object.assign(client.connectionParameters, ownParameters)
      client.binary = false
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
    // Behind a pooler they would be set for others.
    const { rows } = await client.query<{ is_direct: boolean }>(setUp, [
      client.processID,
      Object.keys(sessionSettings),
      Object.values(sessionSettings),
    ])
    this.#isDirect = rows[0]?.is_direct === true
  }
}

/** The failures of statements that the server has not been asked to run. */
const unsent = new WeakSet<Error>()

function notSent(): StateUnavailableError {
  const error = new StateUnavailableError(
    "The maintenance state was neither read nor changed: the database has not answered what was asked before, so this was " +
      "not sent to it. Retry later.",
  )
  unsent.add(error)
  return error
}

/** Whether a statement that failed may have been run all the same: nothing was heard of it, or the session ended with it. */
export function mayHaveRun(error: unknown): boolean {
  return error instanceof Error && !unsent.has(error) && !isRefusedByServer(error)
}

function unanswered(withinMs: number, cause: unknown): StateUnavailableError {
  return new StateUnavailableError(
    `The database has not answered for ${withinMs} ms, so its connection was given up. Whether it has done what it was asked ` +
      "to is not known. Try again.",
    { cause },
  )
}

/** Runs a statement; destroys the connection if there is no answer in time, and throws StateUnavailableError. */
async function answered<T>(
  { connection }: ControlClient,
  run: () => Promise<T>,
  withinMs: number,
): Promise<T> {
  let isSilent = false
  const givingUp = setTimeout(() => {
    isSilent = true
    connection.stream.destroy()
  }, withinMs)
  try {
    return await run()
  } catch (error) {
    throw isSilent ? unanswered(withinMs, error) : error
  } finally {
    clearTimeout(givingUp)
  }
}

/** How long an end may take before the socket is closed without one. */
const closeWithinMs = 2000

/** Ends a connection, whatever state it is in. */
async function end(client: ControlClient): Promise<void> {
  const givingUp = setTimeout(() => client.connection.stream.destroy(), closeWithinMs)
  await client.end().catch(() => undefined)
  clearTimeout(givingUp)
}

function closed(): StateUnavailableError {
  const error = destroyed(", so its maintenance cannot be read or changed")
  unsent.add(error)
  return error
}
