import type { Findings } from "./findings"
import { type Announced, moment, type Standing } from "./messages"
import type { Witness } from "./witness"

/**
 * Largest delay of a window's start, in milliseconds. Its process may have been killed or cut off, and the
 * server restarted.
 */
const mostLateMs = 30_000
/** Shortest soak in which a window must have outlived the process that announced it, in milliseconds. */
const longSoakMs = 600_000

/** The fate of an announced window. */
interface Row {
  readonly id: string
  readonly position: "announced" | "entering" | "standing" | "over"
  readonly late_ms: number
  readonly is_early: boolean
  readonly ended_because: string | null
  /** Whether another user held a window when it ended. */
  readonly is_held: boolean
  /** Whether it had expired before any process could begin it. */
  readonly is_expired: boolean
  readonly times_begun: number
}

const rowsSql = `
  select w.id, w.position, extract(epoch from clock_timestamp() - w.starts_at)::double precision * 1000 as late_ms,
    coalesce(w.begun_at < w.starts_at, false) as is_early, w.ended_because,
    coalesce((
      select h.mode <> 'normal' and h.maintainer <> w.maintainer from history h where h.at <= w.ended_at order by h.at desc limit 1
    ), false) as is_held,
    coalesce(w.starts_at + (w.request ->> 'expires_in_ms')::double precision * interval '1 ms' <= w.ended_at, false) as is_expired,
    (select count(*)::integer from maintenance.change c where c.window_id = w.id and c.kind = 'entered') as times_begun
  from maintenance.window w where w.id = any ($1)`

/** The one of these windows that is standing, in the form that the auditor takes. */
const standingSql = `
  select s.window_id as id, s.epoch, s.mode, s.maintainer, pg_current_snapshot()::text as snapshot
  from maintenance.state s join maintenance.window w on w.id = s.window_id
  where w.position = 'standing' and w.id = any ($1)`

/** Checks that announced windows begin as they should, even if the process that announced them is dead. */
export class Announcements {
  readonly #witness: Witness
  readonly #findings: Findings
  readonly #watch: (standing: Standing["standing"]) => void
  /** The windows that are not over, by id, and whether each is watched for leaks. */
  readonly #open = new Map<string, boolean>()
  /** Number of windows begun, and of those begun after the death of the process that announced them. */
  begun = 0
  outlived = 0
  readonly #orphans = new Set<string>()

  constructor(witness: Witness, findings: Findings, watch: (standing: Standing["standing"]) => void) {
    this.#witness = witness
    this.#findings = findings
    this.#watch = watch
  }

  /** Records an announced window, possibly of a process that ends after announcing it. */
  announced({ id, isLastAct }: Announced["announced"]): void {
    this.#open.set(id, false)
    if (isLastAct) this.#orphans.add(id)
  }

  /** Checks all windows that are not over. */
  async look(): Promise<void> {
    const ids = [...this.#open.keys()]
    if (ids.length === 0) return
    await this.#watchStanding(ids)
    const rows = await this.#witness.query<Row>(rowsSql, [ids])
    for (const id of ids)
      this.#judge(
        id,
        rows.find((row) => row.id === id),
      )
  }

  /** Checks that a soak of this length has seen a window that outlived the process that announced it. */
  conclude(durationMs: number): void {
    if (durationMs >= longSoakMs && this.outlived === 0)
      this.#find("no announced window was begun after the death of its process", `${this.begun} were begun`)
  }

  async #watchStanding(ids: readonly string[]): Promise<void> {
    const [standing] = await this.#witness.query<Standing["standing"] & { id: string }>(standingSql, [ids])
    if (!standing || this.#open.get(standing.id)) return
    this.#open.set(standing.id, true)
    this.#watch({ ...standing, from: moment() })
  }

  #judge(id: string, row: Row | undefined): void {
    if (row?.position === "announced") {
      if (row.late_ms < mostLateMs) return
      this.#find("an announced window was not begun", id)
    } else if (row?.position !== "over") {
      if (row) return
      this.#find("an announced window is lost", id)
    } else if (row.times_begun > 0) {
      this.begun++
      if (this.#orphans.has(id)) this.outlived++
      if (row.times_begun > 1 || row.is_early) this.#find("an announced window began twice, or early", id)
    } else if (row.ended_because === "missed" && !row.is_held && !row.is_expired) {
      this.#find("an announced window was missed without a reason", id)
    }
    this.#open.delete(id)
    this.#orphans.delete(id)
  }

  #find(what: string, facts: string): void {
    this.#findings.add("inconsistency", what, facts)
  }
}
