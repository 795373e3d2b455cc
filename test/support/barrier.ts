import { setTimeout as pause } from "node:timers/promises"
import { Client } from "pg"

/** Pause between looks, in milliseconds, which leaves the processor to the awaited work. */
const betweenMs = 2

/**
 * A lock that other sessions' statements wait for until it is opened. Anything done meanwhile certainly
 * happens in the middle of them.
 */
export class Barrier {
  /** The lock, as arguments of PostgreSQL's advisory lock functions. */
  readonly key: string
  readonly #client: Client

  private constructor(key: string, client: Client) {
    this.key = key
    this.#client = client
  }

  /** Takes the lock. */
  static async close(url: string, key = "4711"): Promise<Barrier> {
    const client = new Client({ connectionString: url })
    await client.connect()
    await client.query(`select pg_advisory_lock(${key})`)
    return new Barrier(key, client)
  }

  /** Resolves with the process ids of the waiting backends, once there are `count` of them. */
  async waiting(count = 1): Promise<number[]> {
    for (;;) {
      const { rows } = await this.#client.query<{ pid: number }>(
        "select pid from pg_locks where locktype = 'advisory' and not granted and pg_backend_pid() = any (pg_blocking_pids(pid))",
      )
      if (rows.length >= count) return rows.map(({ pid }) => pid)
      await pause(betweenMs)
    }
  }

  /** Terminates the waiting backends. Resolves when they are gone. */
  async terminateWaiting(): Promise<void> {
    for (const pid of await this.waiting()) {
      await this.#client.query("select pg_terminate_backend($1, 60000)", [pid])
    }
  }

  /** Cancels the waiting statements. */
  async cancelWaiting(): Promise<void> {
    for (const pid of await this.waiting()) await this.#client.query("select pg_cancel_backend($1)", [pid])
  }

  /** Releases the lock. */
  async open(): Promise<void> {
    await this.#client.query("select pg_advisory_unlock_all()")
    await this.#client.end()
  }
}
