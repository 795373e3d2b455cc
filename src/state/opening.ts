import { knownUser } from "../identity/current-actor"
import type { Actor } from "../mode/actor"
import type { EndedBecause } from "../mode/ending"
import type { Mode } from "../mode/mode"
import type { DrainOutcome } from "../mode/drain-outcome"
import type { MaintenanceWindow } from "../mode/window"

/** The duration of a window, and its limits for other users. */
export interface WindowTerms {
  readonly expiresInMs: number | undefined
  /** Milliseconds until the maintainer expects to be done. */
  readonly plannedInMs: number | undefined
  /**
   * Name of the process to which it is tied, and the milliseconds for which it outlasts that process's last
   * sign of life.
   */
  readonly lease: string | undefined
  readonly graceMs: number | undefined
  /** Whether it is no longer tied to a process. */
  readonly unties: boolean
  /** Number of connections of each instance that other users may use. */
  readonly readers: number | undefined
}

/** A window to open. */
export interface Opening {
  /** Name of the call, so that it can be repeated if the answer was lost. */
  readonly id: string
  readonly mode: Mode
  readonly actor: Actor
  readonly reason: string | undefined
  readonly message: string | undefined
  /** The `during()` for which it opens the window, and the one within which it is called. */
  readonly task: string | undefined
  readonly withinTask: string | undefined
  readonly terms: WindowTerms
  /** The instance that waits for in-flight transactions, and its maximum wait. */
  readonly instance: number | undefined
  readonly withinMs: number
  /** The outcome for transactions that are open after that. */
  readonly outcome: DrainOutcome
}

/**
 * A window that was opened: its epoch and the name of the call. After a failover, other calls may make the
 * same epochs.
 */
export interface Opened {
  readonly epoch: number
  readonly id: string
}

/** The present position of a window that was announced. */
export interface Announcement {
  /** Milliseconds until it begins; negative if that time is past. */
  readonly startsInMs: number
  readonly position: MaintenanceWindow["position"] | "over"
  readonly endedBecause: EndedBecause | undefined
  readonly endedBy: string | undefined
}

/** A window that this process has begun in its maintainer's name, or the milliseconds until it begins. */
export type Beginning =
  | { readonly opened: Opened; readonly request: AnnouncedRequest; readonly lateMs: number }
  | { readonly startsInMs: number }

/** The part of an announced window that the process needs in order to begin it. */
export interface AnnouncedRequest {
  readonly mode: Mode
  readonly acting_user: string
  readonly is_emergency: boolean
  readonly reason?: string
  readonly message?: string
  readonly expires_in_ms?: number
  readonly lease?: string
  readonly grace_ms?: number
  /** The option as passed to `announce()`. */
  readonly drain?: object
}

/** The beginning of a window: a time on the database's clock, or a delay from now. */
export type Start = { readonly at: Date } | { readonly inMs: number }

/** Returns the request for the SQL function start_entering(). */
export function requestOf(opening: Opening): object {
  const { id, mode, actor, task, withinTask, terms, instance, withinMs, outcome } = opening
  return {
    id,
    mode,
    acting_user: knownUser(actor),
    is_emergency: actor.isEmergency,
    reason: opening.reason,
    message: opening.message,
    task: task ?? withinTask,
    within_task: withinTask,
    expires_in_ms: terms.expiresInMs,
    planned_in_ms: terms.plannedInMs,
    unties: terms.unties,
    lease: terms.lease,
    grace_ms: terms.graceMs,
    readers: terms.readers,
    instance,
    within_ms: withinMs,
    outcome,
  }
}
