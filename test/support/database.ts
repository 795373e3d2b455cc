import { Client } from "pg"

/** The server's URL, set by the root hooks for this process and its children. */
export function serverUrl(): string {
  const url = process.env["MAINTENANCE_SERVER_URL"]
  if (!url) throw new Error("The root hooks have not started a server.")
  return url
}

let count = 0

/** The databases that exist for tests of this process. */
export const liveDatabases = new Set<TestDatabase>()

/** A database for one test file or test. `drop()` removes it. */
export class TestDatabase {
  readonly url: string
  readonly #name: string
  readonly #closers: (() => Promise<void>)[] = []

  private constructor(name: string) {
    this.#name = name
    const url = new URL(serverUrl())
    url.pathname = `/${name}`
    this.url = url.toString()
  }

  static async create(encoding = "UTF8"): Promise<TestDatabase> {
    const database = new TestDatabase(`maintenance_test_${process.pid}_${++count}`)
    const like = encoding === "UTF8" ? "" : ` encoding '${encoding}' locale 'C' template template0`
    await withClient(serverUrl(), (client) => client.query(`create database "${database.#name}"${like}`))
    liveDatabases.add(database)
    return database
  }

  /** Closes the fixtures and drops the database. Fails if a test left a connection open. */
  async drop(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
    liveDatabases.delete(this)
    await withClient(serverUrl(), async (client) => {
      const dropped = client.query(`drop database "${this.#name}"`)
      await dropped.catch(async (error: unknown) => {
        const { rows } = await client.query(
          `select pid, application_name, state, query from pg_stat_activity where datname = $1
           union all select null, 'a prepared transaction', null, gid from pg_prepared_xacts where database = $1`,
          [this.#name],
        )
        throw new Error(`${String(error)}: ${JSON.stringify(rows)}`, { cause: error })
      })
    })
  }

  /** Registers a function to call before the database is dropped. */
  beforeDrop(close: () => Promise<void>): void {
    this.#closers.push(close)
  }

  /** Runs SQL as an outsider, without the plugin. */
  async sql<Row extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Row[]> {
    return withClient(this.url, async (client) => (await client.query(text, values)).rows as Row[])
  }
}

/** Runs work with a connection that lacks the plugin, and closes it. */
export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** A database for the tests of a `describe` block. */
export function useDatabase(): { readonly current: TestDatabase } {
  let database: TestDatabase | undefined
  before(async () => {
    database = await TestDatabase.create()
  })
  after(async () => database?.drop())
  return {
    get current() {
      if (!database) throw new Error("There is a database only while tests run.")
      return database
    },
  }
}

/** A database of its own for each test of a `describe` block. It is passed to `take` before the test. */
export function useFreshDatabase(take: (database: TestDatabase) => void): void {
  let database: TestDatabase | undefined
  beforeEach(async () => {
    database = await TestDatabase.create()
    take(database)
  })
  afterEach(() => database?.drop())
}
