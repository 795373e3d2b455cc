import type { MaintenanceStatus } from "../mode/status"
import type { MinuteOfRefusals, PastWindow } from "../mode/journal"
import { briefMs, persistently } from "./persistence"
import type { CountedRefusals } from "./refusal-counts"
import type { StateFunctions } from "./state-functions"
import { dateOf, given } from "./state-row"

/** Maximum duration of reading the journal in milliseconds: it sums up the refusals. */
const readWithinMs = 60_000

/** Part of the journal to read. */
export interface JournalRange {
  /** Milliseconds since 1970; undefined for the beginning. */
  readonly sinceMs: number | undefined
  readonly limit: number
  /** Id of the window that precedes them; undefined for the last to end. */
  readonly before: string | undefined
}

/** A window of the function read_journal(). Times are in milliseconds since 1970. */
type JournalRow = Pick<PastWindow, "id" | "mode" | "maintainer" | "refusals"> & {
  readonly reason: string | null
  readonly message: string | null
  readonly starts_at_ms: number | null
  readonly since_ms: number | null
  readonly begun_at_ms: number | null
  readonly entered_at_ms: number | null
  readonly ended_at_ms: number
  readonly ended_because: PastWindow["endedBecause"]
  readonly ended_by: string | null
  readonly drain_ms: number | null
}

/** A row of the function read_refusals(). */
type RefusalRow = Omit<MinuteOfRefusals, "minute"> & { readonly minute_ms: number }

/** A window that was entered, and that the database does not know. */
type LostWindow = Pick<MaintenanceStatus, "mode" | "maintainer" | "reason" | "message" | "since"> & {
  readonly id: string
}

/** The windows that are over, in the database. */
export class Journal {
  readonly #functions: StateFunctions

  constructor(functions: StateFunctions) {
    this.#functions = functions
  }

  /**
   * Reads the windows that are over, the last first. A replica serves as well: this reads only, and the caller
   * has recorded its own refusals before.
   */
  async read({ sinceMs, limit, before }: JournalRange): Promise<PastWindow[]> {
    const read = () =>
      this.#functions.rows<{ windows: string | null }>("read_journal", [sinceMs, limit, before], {
        apartWithinMs: readWithinMs,
      })
    const [row] = await persistently(read, { withinMs: briefMs })
    return (JSON.parse(row?.windows ?? "[]") as JournalRow[]).map(pastWindowIn)
  }

  /** Reads the refusals since a time, by minute. */
  async refusals(sinceMs: number): Promise<MinuteOfRefusals[]> {
    const read = () =>
      this.#functions.rows<{ refusals: string | null }>("read_refusals", [sinceMs], {
        apartWithinMs: readWithinMs,
      })
    const [row] = await persistently(read, { withinMs: briefMs })
    return (JSON.parse(row?.refusals ?? "[]") as RefusalRow[]).map(({ minute_ms: ms, ...counted }) => ({
      minute: new Date(ms),
      ...counted,
    }))
  }

  /** Records refusals. Recorded twice, they count once. */
  async count(instance: string, counts: readonly CountedRefusals[]): Promise<void> {
    await this.#functions.rows("count_refusals", [instance, JSON.stringify(counts)], { priority: "last" })
  }

  /** Records a window of another history as replaced, unless the database knows it. */
  async noteReplaced({ id, mode, maintainer, reason, message, since }: LostWindow): Promise<void> {
    const lost = { id, mode, maintainer, reason, message, since_ms: since?.getTime() }
    await persistently(() => this.#functions.rows("note_replaced", [lost]))
  }

  /** Deletes part of the records older than this number of days; returns whether there may be more. */
  prune(days: number): Promise<boolean> {
    return this.#functions.value("prune", [days], "last")
  }
}

function pastWindowIn(row: JournalRow): PastWindow {
  const { id, mode, maintainer, reason, message, refusals } = row
  return {
    id,
    mode,
    maintainer,
    ...given({ reason, message }),
    ...given({ startsAt: dateOf(row.starts_at_ms), since: dateOf(row.since_ms) }),
    ...given({ begunAt: dateOf(row.begun_at_ms), enteredAt: dateOf(row.entered_at_ms) }),
    endedAt: dateOf(row.ended_at_ms) as Date,
    endedBecause: row.ended_because,
    ...given({ endedBy: row.ended_by, drainMs: row.drain_ms }),
    refusals,
  }
}
