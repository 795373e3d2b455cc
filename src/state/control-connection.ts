import type { Client, ClientConfig, Notification, QueryResult, QueryResultRow } from "pg"

/** What a control connection tells its owner. */
export interface ControlEvents {
  notification(notification: Notification): void
  lost(): void
}

/** A `pg` client; these are missing in its types. */
type ControlClient = Client & { ref(): void; unref(): void; readonly processID: number | null }

/** Makes clients for the same server and role as the DataSource's pool. */
export type ClientFactory = (settings: ClientConfig) => ControlClient

/**
 * One connection outside the pool, for the state: it works when the pool is exhausted, and it keeps no process
 * alive. It is opened when first used and again after it was lost; statements run one after the other.
 */
export class ControlConnection {
  readonly #createClient: ClientFactory
  readonly #events: ControlEvents
  #client: Promise<ControlClient> | undefined
  #current: ControlClient | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #isClosed = false
  #isDirect = false

  constructor(createClient: ClientFactory, events: ControlEvents) {
    this.#createClient = createClient
    this.#events = events
  }

  /** Runs one statement, after those asked for before. */
  query<Row extends QueryResultRow>(text: string, values: unknown[] = []): Promise<QueryResult<Row>> {
    const result = this.#turn.then(() => this.#run<Row>(text, values))
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** As `query`, once, on a connection of its own. */
  async queryElsewhere(text: string, values: unknown[]): Promise<void> {
    const client = await this.#openClient()
    try {
      await client.query(text, values)
    } finally {
      await client.end()
    }
  }

  /** Whether whom it is connected to is PostgreSQL itself, and no pooler that may give it another backend each time. */
  get isDirect(): boolean {
    return this.#isDirect
  }

  /** Ends the connection once what runs on it has ended. It can be used again. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#turn
    const client = await this.#client?.catch(() => undefined)
    this.#current = this.#client = undefined
    await client?.end().catch(() => undefined)
    this.#isClosed = false
  }

  async #run<Row extends QueryResultRow>(text: string, values: unknown[]): Promise<QueryResult<Row>> {
    const opening = (this.#client ??= this.#open())
    const client = await opening.catch((error: unknown) => {
      if (this.#client === opening) this.#client = undefined
      throw error
    })
    client.ref()
    try {
      return await client.query<Row>(text, values)
    } finally {
      client.unref()
    }
  }

  async #open(): Promise<ControlClient> {
    const client = await this.#openClient()
    this.#current = client
    client.on("notification", (notification) => this.#events.notification(notification))
    client.on("end", () => {
      if (this.#current !== client || this.#isClosed) return
      this.#current = this.#client = undefined
      this.#events.lost()
    })
    return client
  }

  async #openClient(): Promise<ControlClient> {
    let client: ControlClient | undefined
    try {
      client = this.#createClient({ application_name: "typeorm-maintenance-mode", keepAlive: true })
      await this.#prepare(client)
      return client
    } catch (error) {
      await client?.end().catch(() => undefined)
      throw error
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
        "set statement_timeout = 0; set lock_timeout = 0",
    )
  }
}
