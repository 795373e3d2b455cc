import { knownUser } from "../identity/current-actor"
import type { Actor } from "../mode/actor"
import type { EndedBecause } from "../mode/ending"
import type { Mode } from "../mode/mode"
import type { MaintenanceWindow } from "../mode/window"

/** How long a window stands, and what it leaves to others. */
export interface WindowTerms {
  readonly expiresInMs: number | undefined
  /** When the maintainer expects to be done. */
  readonly plannedInMs: number | undefined
  /** The name of the process that it is tied to, and how long it goes on without that. */
  readonly lease: string | undefined
  readonly graceMs: number | undefined
  /** Whether it is tied to none any more. */
  readonly unties: boolean
  /** How many connections of an instance others may use. */
  readonly readers: number | undefined
}

/** A window to open. */
export interface Opening {
  /** The name of the call, so that it can be made again when the answer was lost. */
  readonly id: string
  readonly mode: Mode
  readonly actor: Actor
  readonly reason: string | undefined
  readonly message: string | undefined
  /** The `during` that it opens the window for, and the one that it is called within. */
  readonly task: string | undefined
  readonly withinTask: string | undefined
  readonly terms: WindowTerms
  /** The instance that waits for what was running, and how long at most. */
  readonly instance: number | undefined
  readonly withinMs: number
}

/** A window that was opened: the epoch, and the name of the call, for after a failover others may make the same epochs. */
export interface Opened {
  readonly epoch: number
  readonly id: string
}

/** What has become of a window that was announced. */
export interface Announcement {
  /** In how many milliseconds it is to begin; less than none if that is past. */
  readonly startsInMs: number
  readonly position: MaintenanceWindow["position"] | "over"
  readonly endedBecause: EndedBecause | undefined
  readonly endedBy: string | undefined
}

/** A window that this process has begun for whoever announced it, or in how many milliseconds it will begin. */
export type Beginning =
  | { readonly opened: Opened; readonly request: AnnouncedRequest; readonly lateMs: number }
  | { readonly startsInMs: number }

/** What of a window that was announced the process is to know that begins it. */
export interface AnnouncedRequest {
  readonly mode: Mode
  readonly acting_user: string
  readonly is_emergency: boolean
  readonly reason?: string
  readonly expires_in_ms?: number
  readonly lease?: string
  readonly grace_ms?: number
  /** As it was given to `announce`. */
  readonly drain?: object
}

/** When a window is to begin: at a time on the database's clock, or so much later than now. */
export type Start = { readonly at: Date } | { readonly inMs: number }

/** What the database is asked for, as its function start_entering() takes it. */
export function requestOf(opening: Opening): object {
  const { id, mode, actor, task, withinTask, terms, instance, withinMs } = opening
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
  }
}
