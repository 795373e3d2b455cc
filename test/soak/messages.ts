import type { Mode } from "../../src"

/** A message to an application: stop, exhaust the pool for a while, or close and reopen the DataSource. */
export type ToApplication = "stop" | { readonly exhaustMs: number } | "reopen"

/** A read that was answered: its user, beginning and end, on the monotonic clock that all processes share. */
export interface Answer {
  readonly actor: string
  readonly begunAt: number
  readonly endedAt: number
}

/** The activity of an application since its last report. */
export interface ApplicationReport {
  readonly application: {
    /** The attempts that were reported as stored. */
    readonly stored: readonly string[]
    /** The attempts that were refused. */
    readonly refused: readonly string[]
    readonly answers: readonly Answer[]
    /** Number of occurrences of each outcome. */
    readonly outcomes: Readonly<Record<string, number>>
    /** Time of the last stored write, on the monotonic clock. */
    readonly lastStoredAt: number
  }
}

/** A message to a maintainer: stop, or continue after an audit. */
export type ToMaintainer = "stop" | { readonly audited: number }

/** A call of a maintainer that begins. */
export interface Begun {
  readonly begun: { readonly call: string; readonly operation: string }
}

/** A call of a maintainer that has ended. Times are those of the system clock, which the server shares. */
export interface Ended {
  readonly ended: {
    readonly call: string
    /** The reason that it gave, which is unique. */
    readonly operation: string
    readonly begunAt: number
    readonly endedAt: number
    /** `done`, or the class and message of the error. */
    readonly outcome: string
    /** Whether it failed for a reason outside the plugin: a lost connection. */
    readonly isBroken: boolean
    /** Whether the window stood and its work had begun. */
    readonly hasEntered: boolean
    /** The epoch that it resolved with. */
    readonly epoch?: number
    /** Time at which it was aborted. */
    readonly abortedAt?: number
    /** Time for which a window that is tied to its process outlives it, in milliseconds. */
    readonly graceMs?: number
  }
}

/** A window that stands, because `enter()` has resolved. */
export interface Standing {
  readonly standing: {
    readonly epoch: number
    readonly mode: Exclude<Mode, "normal">
    readonly maintainer: string
    /** The commits visible after that: the server's `pg_current_snapshot()`. */
    readonly snapshot: string
    /** A moment after that, on the monotonic clock. */
    readonly from: number
  }
}

/** A result of `status()`. */
export interface Told {
  readonly told: { readonly epoch: number; readonly mode: Mode; readonly maintainer: string | undefined }
}

/** An announced window, which any process may begin. If it was the last act, the process kills itself. */
export interface Announced {
  readonly announced: { readonly id: string; readonly isLastAct: boolean }
}

/** A request to audit now, before the window is left. */
export interface AuditAsked {
  readonly audit: number
}

/** A fault that the process itself has detected. */
export interface Failed {
  readonly failed: { readonly kind: "hang" | "inconsistency"; readonly what: string; readonly facts: string }
}

/** A periodic sign of life, with the memory in bytes. */
export interface Alive {
  readonly rss: number
}

/** A message from a process. */
export type FromWorker =
  | "ready"
  | Alive
  | ApplicationReport
  | Begun
  | Ended
  | Standing
  | Told
  | Announced
  | AuditAsked
  | Failed

/** The machine's monotonic clock in milliseconds, the same for all processes. */
export function moment(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Sends a message to the parent process. */
export function tell(message: FromWorker, told: () => void = () => undefined): void {
  process.send?.(message, told)
}
