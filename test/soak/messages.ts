import type { Mode } from "../../src"

/** What an application is told: to stop, to lend out its whole pool for a while, to close its DataSource and open it again. */
export type ToApplication = "stop" | { readonly exhaustMs: number } | "reopen"

/** A read that was answered: by whom, and from when to when, on the monotonic clock that all processes share. */
export interface Answer {
  readonly actor: string
  readonly begunAt: number
  readonly endedAt: number
}

/** What an application has done since it told last. */
export interface ApplicationReport {
  readonly application: {
    /** The attempts that were said to be stored. */
    readonly stored: readonly string[]
    /** The attempts that were refused. */
    readonly refused: readonly string[]
    readonly answers: readonly Answer[]
    /** How often each outcome came. */
    readonly outcomes: Readonly<Record<string, number>>
    /** When something was stored last, on the monotonic clock. */
    readonly lastStoredAt: number
  }
}

/** What a maintainer is told: to stop, and that it may go on. */
export type ToMaintainer = "stop" | { readonly audited: number }

/** A call of a maintainer that begins. */
export interface Begun {
  readonly begun: { readonly call: string; readonly operation: string }
}

/** A call of a maintainer that has ended. Times are those of the system's clock, which the server has, too. */
export interface Ended {
  readonly ended: {
    readonly call: string
    /** The reason that it gave, which no other call gives. */
    readonly operation: string
    readonly begunAt: number
    readonly endedAt: number
    /** `done`, or the class of the error and what it says. */
    readonly outcome: string
    /** Whether it failed for a reason that is not of the plugin: a lost connection. */
    readonly isBroken: boolean
    /** Whether the window stood, and what it was entered for had begun. */
    readonly hasEntered: boolean
    /** The epoch that it resolved with. */
    readonly epoch?: number
    /** When it was broken off. */
    readonly abortedAt?: number
    /** How long a window stands without its process, if it is tied to it. */
    readonly graceMs?: number
  }
}

/** A window that stands, for enter() has resolved. */
export interface Standing {
  readonly standing: {
    readonly epoch: number
    readonly mode: Exclude<Mode, "normal">
    readonly maintainer: string
    /** What was committed, seen by the server after that: its pg_current_snapshot(). */
    readonly snapshot: string
    /** A moment after that, on the monotonic clock. */
    readonly from: number
  }
}

/** What status() told. */
export interface Told {
  readonly told: { readonly epoch: number; readonly mode: Mode; readonly maintainer: string | undefined }
}

/** A window was announced, for whichever process to begin it; if that was the last act, the process kills itself. */
export interface Announced {
  readonly announced: { readonly id: string; readonly isLastAct: boolean }
}

/** Asks that it be looked for leaks now, for the window is about to be left. */
export interface AuditAsked {
  readonly audit: number
}

/** What is wrong, as the process itself has seen it. */
export interface Failed {
  readonly failed: { readonly kind: "hang" | "inconsistency"; readonly what: string; readonly facts: string }
}

/** What every process tells from time to time: that it lives, and its memory in bytes. */
export interface Alive {
  readonly rss: number
}

/** What the processes tell. */
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

/** A moment on the monotonic clock of the machine, in milliseconds: the same for all of its processes. */
export function moment(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Tells who started this process. */
export function tell(message: FromWorker, told: () => void = () => undefined): void {
  process.send?.(message, told)
}
