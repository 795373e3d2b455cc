import type { QueryResult, QueryResultRow } from "pg"
import type { Backend } from "../state/fleet"
import type { Opened } from "../state/opening"
import type { Blocker, Sight } from "../mode/blocker"

/** Runs a statement. */
export type Run = <Row extends QueryResultRow>(text: string, values: unknown[]) => Promise<QueryResult<Row>>

/** A row of `openTransactions`. */
interface OpenRow {
  pid: number | null
  transaction: string
  application: string | null
  user: string | null
  client_address: string | null
  age_ms: number | null
  state: string | null
  has_written: boolean
  query: string | null
  is_hidden: boolean
  /** Age of the session in milliseconds. Null if that is hidden. */
  session_ms: number | null
}

/** A row of the function `backends()`. */
interface BackendRow {
  pid: number
  instance: number
  host: string
  instance_pid: number
  epoch: number
  connected_ms: number
  is_unrestricted: boolean
}

/**
 * Tolerated difference between two clocks: a share of the measured time, and a fixed number of milliseconds.
 */
const clockDrift = 0.001
const clockStepMs = 1000

/**
 * Every open transaction in this database, except those of watches ($1 is the key of their locks). Each
 * transaction locks its virtual id, which every role can see. PostgreSQL shows the rest of its activity only
 * to roles with the privilege.
 */
const openTransactions = `
  select a.pid, l.virtualtransaction as transaction, a.application_name as application, a.usename as "user",
    host(a.client_addr) as client_address,
    extract(epoch from clock_timestamp() - a.xact_start)::float8 * 1000 as age_ms,
    a.state, a.backend_xid is not null as has_written, left(a.query, 200) as query,
    a.query = '<insufficient privilege>' as is_hidden,
    extract(epoch from clock_timestamp() - a.backend_start)::float8 * 1000 as session_ms
  from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
  where l.locktype = 'virtualxid' and l.granted and l.mode = 'ExclusiveLock' and a.datname = current_database()
    and a.usesysid is not null and coalesce(a.backend_type, 'client backend') = 'client backend'
    and a.pid <> pg_backend_pid()
    and not exists (select from pg_catalog.pg_locks p where p.pid = a.pid and p.locktype = 'advisory' and p.classid = $1
      and p.mode = 'ExclusiveLock')
  union all
  select null, x.gid, null, x.owner, null, extract(epoch from clock_timestamp() - x.prepared)::float8 * 1000,
    'prepared', true, null, false, null
  from pg_catalog.pg_prepared_xacts x where x.database = current_database()
  order by age_ms desc nulls last`

/**
 * Sessions of $1 without a transaction. A process may have been stopped during a statement that commits by
 * itself. The statement has ended, but the process has not yet released the session's lock.
 */
const idleSessions = `
  select a.pid, 'session ' || a.pid as transaction, a.application_name as application, a.usename as "user",
    host(a.client_addr) as client_address,
    extract(epoch from clock_timestamp() - a.state_change)::float8 * 1000 as age_ms,
    a.state, false as has_written, left(a.query, 200) as query, a.query = '<insufficient privilege>' as is_hidden,
    extract(epoch from clock_timestamp() - a.backend_start)::float8 * 1000 as session_ms
  from pg_catalog.pg_stat_activity a
  where a.pid = any ($1)
    and not exists (select from pg_catalog.pg_locks l where l.pid = a.pid and l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock')
  order by age_ms desc nulls last`

/** The blockers of a drain: the transactions that were open at the first look and still are. */
export class Blockers {
  readonly #run: Run
  readonly #schema: string
  readonly #presence: number
  readonly #opened: Opened
  readonly #own: () => readonly Backend[]
  /** The transactions that were open at the first look. */
  #first: ReadonlySet<string> | undefined
  readonly #cannotEnd = new Map<string, string>()

  /**
   * For a window that was opened. `own` returns the backends of this process whose user the window does not
   * restrict.
   */
  constructor(
    run: Run,
    { schema, presence, opened }: { schema: string; presence: number; opened: Opened },
    own: () => readonly Backend[],
  ) {
    this.#run = run
    this.#schema = schema
    this.#presence = presence
    this.#opened = opened
    this.#own = own
  }

  /**
   * Finds the blockers. Any transaction of a holder counts, because VACUUM and similar commands run several
   * in succession.
   */
  async look(holders: readonly number[]): Promise<Sight> {
    // Transactions that start later are no blockers.
    if (this.#first?.size === 0 && holders.length === 0) return { blockers: [], ownHolders: [] }
    const { rows } = await this.#run<OpenRow>(openTransactions, [this.#presence])
    this.#first ??= new Set(rows.map(keyOf))
    const left = rows.filter((row) => this.#first?.has(keyOf(row)) || holders.includes(row.pid ?? 0))
    if (holders.some((pid) => !left.some((row) => (row.pid ?? 0) === pid))) {
      left.push(...(await this.#run<OpenRow>(idleSessions, [holders])).rows)
    }
    if (left.length === 0 && holders.length === 0) return { blockers: [], ownHolders: [] }
    const backends = await this.#run<BackendRow>(`select * from "${this.#schema}".backends()`, [])
    const isOwn = this.#isOwn(backends.rows)
    const own = left.filter(isOwn)
    return {
      blockers: left
        .filter((row) => !own.includes(row))
        .map((row) =>
          this.#blocker(
            row,
            backends.rows.find((backend) => isSame(row, backend)),
          ),
        ),
      ownHolders: holders.filter((holder) => own.some(({ pid }) => pid === holder)),
    }
  }

  /** Selects the transactions of users whom the window does not restrict, from the instances' reports. */
  #isOwn(backends: readonly BackendRow[]): (row: OpenRow) => boolean {
    const unrestricted = [
      // A report reflects the state that the instance knew.
      ...backends.filter((backend) => backend.is_unrestricted && backend.epoch === this.#opened.epoch),
      ...this.#own().map(({ pid, connectedMs }) => ({ pid, connected_ms: connectedMs })),
    ]
    return (row) => unrestricted.some((backend) => isSame(row, backend))
  }

  /**
   * Cancels the blocker's statement or terminates its session, if the transaction is still open and the
   * window stands.
   */
  async end({ pid, transaction }: Blocker, how: "cancel" | "terminate"): Promise<void> {
    const key = keyOf({ pid: pid ?? null, transaction })
    if (pid === undefined) {
      this.#cannotEnd.set(key, "only COMMIT PREPARED or ROLLBACK PREPARED ends a prepared transaction")
      return
    }
    try {
      await this.#run(
        `select pg_catalog.pg_${how}_backend(pid) from (
           select pid from pg_catalog.pg_locks
           where locktype = 'virtualxid' and granted and mode = 'ExclusiveLock' and pid = $1 and virtualtransaction = $2
           union
           select holder from "${this.#schema}".holders($3) as holder where holder = $1 and $2 = 'session ' || $1::integer
         ) as still (pid)
         where "${this.#schema}".stands($3, $4)`,
        [pid, transaction, this.#opened.epoch, this.#opened.id],
      )
    } catch (error) {
      // For example, if the role is not a member of pg_signal_backend.
      this.#cannotEnd.set(key, (error as Error).message)
    }
  }

  #blocker(row: OpenRow, backend: BackendRow | undefined): Blocker {
    return {
      pid: row.pid ?? undefined,
      transaction: row.transaction,
      application: row.application ?? undefined,
      user: row.user ?? undefined,
      clientAddress: row.client_address ?? undefined,
      ageMs: row.age_ms === null ? undefined : Math.round(row.age_ms),
      state: row.state ?? undefined,
      hasWritten: row.has_written,
      query: row.is_hidden ? undefined : queryOf(row.query),
      instance: backend && { id: backend.instance, host: backend.host, pid: backend.instance_pid },
      isHidden: row.is_hidden,
      cannotEnd: this.#cannotEnd.get(keyOf(row)),
    }
  }
}

/**
 * Whether a session belongs to the backend that a client is connected to. A client may not have noticed that
 * its connection is lost, and another session may have got its process id. Such a session is younger than the
 * connection. A session whose age is hidden is assumed to match.
 */
function isSame(
  row: OpenRow,
  { pid, connected_ms: connectedMs }: Pick<BackendRow, "pid" | "connected_ms">,
): boolean {
  return row.pid === pid && (row.session_ms ?? connectedMs) >= connectedMs * (1 - clockDrift) - clockStepMs
}

function keyOf({ pid, transaction }: { pid: number | null; transaction: string }): string {
  return `${pid ?? "prepared"} ${transaction}`
}

/** The last statement. The plugin's own check, which accompanies a commit, is replaced with a note. */
function queryOf(query: string | null): string | undefined {
  if (query === null) return undefined
  return /^select (?:pg_catalog\.format\('the maintenance mode|"[a-z0-9_]+"\.fence)/.test(query)
    ? "(the commit is under way)"
    : query
}
