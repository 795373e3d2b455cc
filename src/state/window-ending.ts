import type { EndedBecause, Ending } from "../mode/ending"
import type { Mode } from "../mode/mode"

/** The end of a window, and the window that came after it. */
export interface WindowEnding extends Ending {
  readonly nextMode: Mode | undefined
  readonly nextMaintainer: string | undefined
  /**
   * Milliseconds for which it outlasted the last sign of life of its process; undefined if it was tied to
   * none.
   */
  readonly graceMs: number | undefined
}

/** A row of the function ending_of(). The time is in milliseconds since 1970. */
export interface EndingRow {
  readonly ended_because: EndedBecause | null
  readonly ended_by: string | null
  readonly ended_at_ms: number | null
  readonly next_mode: Mode | null
  readonly next_maintainer: string | null
  readonly grace_ms: number | null
}

/** Returns the ending that a row describes. */
export function endingIn(row: EndingRow): WindowEnding {
  return {
    endedBecause: row.ended_because ?? undefined,
    endedBy: row.ended_by ?? undefined,
    endedAt: row.ended_at_ms === null ? undefined : new Date(row.ended_at_ms),
    nextMode: row.next_mode ?? undefined,
    nextMaintainer: row.next_maintainer ?? undefined,
    graceMs: row.grace_ms ?? undefined,
  }
}
