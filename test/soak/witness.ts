import { setTimeout as pause } from "node:timers/promises"
import { Client, type QueryResultRow } from "pg"

const attempts = 200
const betweenMs = 50

/** Queries the server over a direct connection, without the plugin and unaffected by network faults. */
export class Witness {
  readonly #url: string
  #client: Promise<Client> | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(url: string) {
    this.#url = url
  }

  /** Runs a statement that may run twice. Retries while the server is down. */
  query<Row extends QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const rows = this.#turn.then(() => this.#persistently<Row>(text, values))
    this.#turn = rows.catch(() => undefined)
    return rows
  }

  async close(): Promise<void> {
    await this.#turn
    await (await this.#client?.catch(() => undefined))?.end().catch(() => undefined)
  }

  async #persistently<Row extends QueryResultRow>(text: string, values: unknown[]): Promise<Row[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return (await (await (this.#client ??= this.#connect())).query<Row>(text, values)).rows
      } catch (error) {
        this.#client = undefined
        if (attempt === attempts) throw error
        await pause(betweenMs)
      }
    }
  }

  async #connect(): Promise<Client> {
    const client = new Client({ connectionString: this.#url, application_name: witnessName })
    client.on("error", () => undefined)
    await client.connect()
    return client
  }
}

/** The application name of these connections. */
export const witnessName = "witness"
