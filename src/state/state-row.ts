import { type AnnouncedWindow, isAnnounced, type MaintenanceWindow, type OpenWindow } from "../mode/window"
import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { DrainOutcome } from "../mode/drain-outcome"
import type { Mode } from "../mode/mode"
import type { Progress, ReportedProgress } from "../mode/progress"

/** A row of the function read_state(). Times are in milliseconds since 1970. */
export interface StateRow {
  readonly mode: Mode
  readonly maintainer: string | null
  readonly reason: string | null
  readonly message: string | null
  readonly since_ms: number | null
  readonly epoch: number
  readonly planned_at_ms: number | null
  readonly planned_in_ms: number | null
  readonly expires_at_ms: number | null
  readonly retry_after_ms: number | null
  readonly grace_ms: number | null
  readonly readers: number | null
  readonly ends_in_ms: number | null
  readonly ends_at_ms: number | null
  readonly stamp: string | null
  readonly window_id: string | null
  /** JSON of an array of WindowRow; null for none. */
  readonly windows: string | null
}

/** A window of that array. */
interface WindowRow {
  readonly id: string
  readonly position: MaintenanceWindow["position"]
  readonly mode: Exclude<Mode, "normal">
  readonly maintainer: string
  readonly reason: string | null
  readonly message: string | null
  readonly starts_at_ms: number | null
  readonly starts_in_ms: number | null
  readonly since_ms: number | null
  readonly begun_at_ms: number | null
  readonly entered_at_ms: number | null
  readonly planned_at_ms: number | null
  readonly expires_at_ms: number | null
  readonly expires_in_ms: number | null
  readonly grace_ms: number | null
  readonly readers: number | null
  readonly is_task: boolean
  readonly host: string | null
  readonly pid: number | null
  readonly is_interrupted: boolean
  readonly drains_until_ms: number | null
  readonly drains_then: DrainOutcome | null
  readonly progress: ProgressRow | null
}

/** The progress of a window. */
interface ProgressRow extends Progress {
  readonly at_ms: number
}

/** Returns the state of a row. `readAt` is the time of the reading, as given by `performance.now()`. */
export function stateIn(row: StateRow, readAt: number): StampedState {
  const windows = (JSON.parse(row.windows ?? "[]") as WindowRow[]).map(windowIn)
  const announced = windows.find(isAnnounced)
  const { position: _, ...next } = announced ?? {}
  return {
    status: statusIn(row, announced && (next as AnnouncedWindow)),
    windows,
    stamp: row.stamp ?? undefined,
    readAt,
    overdueAt: row.planned_in_ms === null || row.planned_in_ms <= 0 ? undefined : readAt + row.planned_in_ms,
    endsAt: row.ends_in_ms === null ? undefined : readAt + row.ends_in_ms,
    endsAtMs: row.ends_at_ms ?? undefined,
  }
}

function statusIn(row: StateRow, announced: AnnouncedWindow | undefined): MaintenanceStatus {
  const retryAfterMs = row.retry_after_ms === null ? null : Math.max(0, Math.ceil(row.retry_after_ms))
  const { mode, epoch, maintainer, reason, message, readers, planned_in_ms: plannedInMs } = row
  return {
    mode,
    epoch,
    ...given({
      windowId: row.window_id,
      maintainer,
      reason,
      message,
      since: dateOf(row.since_ms),
      plannedUntil: dateOf(row.planned_at_ms),
    }),
    ...given({ expiresAt: dateOf(row.expires_at_ms), retryAfterMs, graceMs: row.grace_ms, readers }),
    ...given({ isOverdue: plannedInMs === null ? null : plannedInMs <= 0, announced: announced ?? null }),
  }
}

function windowIn(row: WindowRow): MaintenanceWindow {
  const { id, position, mode, maintainer, reason, message, is_interrupted: isInterrupted } = row
  const common = { id, mode, maintainer, ...given({ reason, message }), isInterrupted }
  if (position === "announced") {
    return {
      ...common,
      position,
      startsAt: dateOf(row.starts_at_ms) as Date,
      startsInMs: Math.max(0, Math.ceil(row.starts_in_ms as number)),
      ...given({ expiresInMs: row.expires_in_ms, plannedUntil: dateOf(row.planned_at_ms) }),
    }
  }
  return {
    ...common,
    position,
    since: dateOf(row.since_ms) as Date,
    begunAt: dateOf(row.begun_at_ms) as Date,
    ...given({ enteredAt: dateOf(row.entered_at_ms), plannedUntil: dateOf(row.planned_at_ms) }),
    ...given({ expiresAt: dateOf(row.expires_at_ms), graceMs: row.grace_ms, readers: row.readers }),
    ...given({
      drainsUntil: dateOf(row.drains_until_ms),
      drainsThen: row.drains_then,
      progress: progressIn(row.progress),
    }),
    isTask: row.is_task,
    ...given({ host: row.host, pid: row.pid }),
  } satisfies OpenWindow
}

function progressIn(row: ProgressRow | null): ReportedProgress | null {
  if (row === null) return null
  const { at_ms: atMs, ...progress } = row
  return { ...progress, at: new Date(atMs) }
}

/** The latest time that a Date can hold. PostgreSQL's range is some thousand years longer. */
const lastMs = 8.64e15

/** Converts milliseconds since 1970 to a Date. */
export function dateOf(unixMs: number | null): Date | null {
  return unixMs === null ? null : new Date(Math.min(unixMs, lastMs))
}

/** Returns the facts that are not null. */
export function given<T extends object>(facts: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== null)) as never
}
