import type { Socket } from "node:net"
import type { Client, ClientConfig, Notification, QueryResult, QueryResultRow } from "pg"
import { StateUnavailableError } from "../errors"
import { ownParameters, ownSettings, patienceMs, sessionSettings, setUp } from "./control-settings"
import { destroyed } from "./destroyed"
import { isRefusedByServer } from "../sqlstate"
import { ControlQueue, type Priority } from "./control-queue"

/** Events that a control connection reports to its owner. */
export interface ControlEvents {
  notification(notification: Notification): void
  lost(): void
}

/** A `pg` client with the members that its types lack. */
type ControlClient = Client & {
  ref(): void
  unref(): void
  binary: boolean
  readonly processID: number | null
  readonly connection: { readonly stream: Socket }
  readonly connectionParameters: object
}

/** Makes clients for the server and role of the DataSource's pool. */
export type ClientFactory = (settings: ClientConfig) => ControlClient

/** Options for a statement. */
export interface ControlOptions {
  /** Milliseconds to wait for an answer. Default: 10000. */
  readonly withinMs?: number
  /** Place in the queue. Default: in the order of the calls. */
  readonly priority?: Priority | undefined
}

/**
 * One connection outside the pool for the state. It works when the pool is exhausted, and does not keep the
 * process alive. It is opened on first use and again after a loss. Statements run one after another.
 */
export class ControlConnection {
  readonly #createClient: ClientFactory
  readonly #events: ControlEvents
  #client: Promise<ControlClient> | undefined
  #current: ControlClient | undefined
  /** The client that is being opened. */
  #coming: ControlClient | undefined
  readonly #queue = new ControlQueue()
  /**
   * Number of times that the database has not answered. Statements queued at that moment are not sent;
   * otherwise each would wait as long, one after another.
   */
  #silences = 0
  #isClosed = false
  #isDirect = false

  constructor(createClient: ClientFactory, events: ControlEvents) {
    this.#createClient = createClient
    this.#events = events
  }

  /** Allows the connection to be used again after `close()`. */
  reopen(): void {
    this.#isClosed = false
  }

  /**
   * Runs one statement, after those requested before, or according to its priority. Without an answer in
   * time, the connection is dropped. Throws StateUnavailableError if it is closed, or does not answer.
   */
  query<Row extends QueryResultRow>(
    text: string,
    values: unknown[] = [],
    { withinMs = patienceMs, priority }: ControlOptions = {},
  ): Promise<QueryResult<Row>> {
    const silences = this.#silences
    return this.#queue.run(async () => {
      if (silences !== this.#silences) throw notSent()
      return this.#run<Row>(text, values, withinMs)
    }, priority)
  }

  /**
   * Runs one statement on a connection of its own. Without `withinMs`, it waits for the answer without a
   * limit.
   */
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

  /**
   * Whether it is connected to PostgreSQL itself, not to a pooler that may give it another backend each time.
   */
  get isDirect(): boolean {
    return this.#isDirect
  }

  /**
   * Returns the event that the session waits for, by its name in pg_stat_activity; undefined if it is not
   * known.
   */
  async waitsFor(): Promise<string | undefined> {
    const pid = this.#isDirect ? this.#current?.processID : undefined
    const text = "select wait_event from pg_stat_activity where pid = $1"
    const { rows } = await this.queryElsewhere<{ wait_event: string | null }>(text, [pid])
    return rows[0]?.wait_event ?? undefined
  }

  /**
   * Drops the session, as if the network had lost it: the server ends everything it holds. A session that is
   * being opened is left alone.
   */
  drop(): void {
    const client = this.#current
    client?.connection.stream.destroy()
    if (client) this.#forget(client)
    else if (!this.#isClosed) this.#events.lost()
  }

  /** Ends the connection. Later requests are refused, and requests without an early answer are given up. */
  async close(): Promise<void> {
    this.#isClosed = true
    const giveUp = () => (this.#current ?? this.#coming)?.connection.stream.destroy()
    const givingUp = setTimeout(giveUp, closeWithinMs).unref()
    // After everything that waits.
    await this.#queue.run(async () => undefined, "last")
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
      // On a closed socket, Node keeps a listener for each such call.
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
    // Behind a pooler, the settings would apply to other clients.
    const { rows } = await client.query<{ is_direct: boolean }>(setUp, [
      client.processID,
      Object.keys(sessionSettings),
      Object.values(sessionSettings),
    ])
    this.#isDirect = rows[0]?.is_direct === true
  }
}

/** Errors of statements that were never sent to the server. */
const unsent = new WeakSet<Error>()

function notSent(): StateUnavailableError {
  const error = new StateUnavailableError(
    "The maintenance state was neither read nor changed: the database did not answer an earlier request, " +
      "so this one was not sent. Retry later.",
  )
  unsent.add(error)
  return error
}

/**
 * Whether a failed statement may have run all the same: there was no answer to it, or the session ended with
 * it.
 */
export function mayHaveRun(error: unknown): boolean {
  return error instanceof Error && !unsent.has(error) && !isRefusedByServer(error)
}

function unanswered(withinMs: number, cause: unknown): StateUnavailableError {
  return new StateUnavailableError(
    `The database did not answer within ${withinMs} ms, so its connection was closed. ` +
      "The request may or may not have been carried out. Try again.",
    { cause },
  )
}

/**
 * Runs a statement. Without an answer in time, it destroys the connection and throws StateUnavailableError.
 */
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

/** Maximum duration of an orderly end in milliseconds, before the socket is closed without one. */
const closeWithinMs = 2000

/** Ends a connection, whatever its state. */
async function end(client: ControlClient): Promise<void> {
  const givingUp = setTimeout(() => client.connection.stream.destroy(), closeWithinMs)
  await client.end().catch(() => undefined)
  clearTimeout(givingUp)
}

function closed(): StateUnavailableError {
  const error = destroyed(", so its maintenance state cannot be read or changed")
  unsent.add(error)
  return error
}
