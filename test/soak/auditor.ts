import type { Findings } from "./findings"
import { emergencyUser } from "./ledger"
import { type Answer, moment, type Standing } from "./messages"
import type { Witness } from "./witness"

/** A window that stands. `until` is the last moment for which that is proven. */
type Watched = Standing["standing"] & { until: number }

/** A row that leaked. */
interface LeakRow {
  id: number
  attempt: string
  actor: string
  door: string
}

/**
 * Rows of restricted users that are visible now, and were not when `enter()` had resolved. The database
 * stores each row's transaction id, so a snapshot shows whether that was committed.
 */
const leaksSql = `
  select id, attempt, actor, door from entry
  where xid >= pg_snapshot_xmin($1::pg_snapshot) and not pg_visible_in_snapshot(xid, $1::pg_snapshot)
    and actor <> all ($2)`

/** Whether the window of an epoch stands. Every change of the window creates another epoch. */
const standsSql = `
  select from maintenance.state where epoch = $1 and (expires_at is null or expires_at > clock_timestamp())`

/** Time for which answers are kept, in milliseconds. A stopped process may report late. */
const keptMs = 60_000

/**
 * Searches standing windows for leaks, without the plugin. It reads what is committed first, and then whether
 * the window stands. If so, everything read was committed while it stood. If not, that read proves nothing.
 */
export class Auditor {
  readonly #witness: Witness
  readonly #findings: Findings
  #watched: Watched | undefined
  readonly #closed: Watched[] = []
  #answers: Answer[] = []
  readonly #reported = new Set<number>()
  #auditing: Promise<void> = Promise.resolve()
  /** Number of windows watched, and the total time in milliseconds. */
  windows = 0
  watchedMs = 0

  constructor(witness: Witness, findings: Findings) {
    this.#witness = witness
    this.#findings = findings
  }

  /** Watches a window from now on, instead of the previous one. */
  watch(standing: Standing["standing"]): void {
    if (this.#watched && this.#watched.epoch > standing.epoch) return
    this.#close()
    this.windows++
    this.#watched = { ...standing, until: standing.from }
  }

  /** Records reads that were answered. */
  answered(answers: readonly Answer[]): void {
    this.#answers = this.#answers.filter(({ endedAt }) => endedAt > moment() - keptMs)
    this.#answers.push(...answers)
    for (const window of this.#closed) this.#checkAnswers(window, answers)
  }

  /** Audits once, after all earlier audits. */
  audit(): Promise<void> {
    this.#auditing = this.#auditing.then(() => this.#look())
    return this.#auditing
  }

  async #look(): Promise<void> {
    const window = this.#watched
    if (!window) return
    const { snapshot, maintainer, epoch, mode } = window
    const rows = await this.#witness.query<LeakRow>(leaksSql, [snapshot, [maintainer, emergencyUser]])
    const before = moment()
    const isStanding = (await this.#witness.query(standsSql, [epoch])).length > 0
    if (!isStanding) {
      if (this.#watched === window) this.#close()
      return
    }
    window.until = before
    for (const { id, attempt, actor, door } of rows.filter((row) => !this.#reported.has(row.id))) {
      this.#reported.add(id)
      const facts = `${door} of ${actor} (${attempt}) in the ${mode} window ${epoch} of ${maintainer}`
      this.#findings.add("leak", "a write of others was committed in a window", facts)
    }
  }

  #close(): void {
    if (!this.#watched) return
    this.watchedMs += this.#watched.until - this.#watched.from
    this.#closed.push(this.#watched)
    while ((this.#closed[0]?.until ?? Number.POSITIVE_INFINITY) < moment() - keptMs) this.#closed.shift()
    this.#checkAnswers(this.#watched, this.#answers)
    this.#watched = undefined
  }

  /** Reports answers to other users in an exclusive window, if they asked within it. */
  #checkAnswers({ mode, maintainer, epoch, from, until }: Watched, answers: readonly Answer[]): void {
    if (mode !== "exclusive") return
    for (const { actor, begunAt, endedAt } of answers) {
      if (actor === maintainer || actor === emergencyUser || begunAt < from || endedAt > until) continue
      this.#findings.add(
        "leak",
        "a read of others was answered in an exclusive window",
        `${actor}, window ${epoch}`,
      )
    }
  }
}
