import { setTimeout as pause } from "node:timers/promises"
import { Client } from "pg"

/** Between two looks, so that what is waited for has the processor. */
const betweenMs = 2

/** A lock that statements of others wait for, until it is opened: what happens meanwhile is certain to be in their middle. */
export class Barrier {
  /** The lock, as arguments of PostgreSQL's advisory lock functions. */
  readonly key: string
  readonly #client: Client

  private constructor(key: string, client: Client) {
    this.key = key
    this.#client = client
  }

  /** Closes it. */
  static async close(url: string, key = "4711"): Promise<Barrier> {
    const client = new Client({ connectionString: url })
    await client.connect()
    await client.query(`select pg_advisory_lock(${key})`)
    return new Barrier(key, client)
  }

  /** Resolves with the process ids of the backends that wait, as soon as there are so many. */
  async waiting(count = 1): Promise<number[]> {
    for (;;) {
      const { rows } = await this.#client.query<{ pid: number }>(
        "select pid from pg_locks where locktype = 'advisory' and not granted and pg_backend_pid() = any (pg_blocking_pids(pid))",
      )
      if (rows.length >= count) return rows.map(({ pid }) => pid)
      await pause(betweenMs)
    }
  }

  /** Has PostgreSQL end the backends that wait; resolves when they are gone. */
  async terminateWaiting(): Promise<void> {
    for (const pid of await this.waiting()) {
      await this.#client.query("select pg_terminate_backend($1, 60000)", [pid])
    }
  }

  /** Has PostgreSQL cancel the statements that wait. */
  async cancelWaiting(): Promise<void> {
    for (const pid of await this.waiting()) await this.#client.query("select pg_cancel_backend($1)", [pid])
  }

  /** Lets everybody pass. */
  async open(): Promise<void> {
    await this.#client.query("select pg_advisory_unlock_all()")
    await this.#client.end()
  }
}
