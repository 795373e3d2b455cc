/** The positions of the switch, from unrestricted to closed. */
export const modes = ["normal", "concurrent", "exclusive"] as const

/**
 * What others than the maintainer may do: everything (`normal`), read (`concurrent`: what they change is vetoed
 * at commit) or nothing (`exclusive`).
 */
export type Mode = (typeof modes)[number]

/** The state of the maintenance, as the database has it. */
export interface MaintenanceStatus {
  /** What others than the maintainer may do now. */
  readonly mode: Mode
  /** The user who entered the maintenance; absent in normal mode. */
  readonly maintainer?: string
  /** Why, as the maintainer said on entering. */
  readonly reason?: string
  /** When the window began, on the database's clock; absent in normal mode. */
  readonly since?: Date
  /** When the window ends by itself, on the database's clock; absent if it does not. */
  readonly expiresAt?: Date
  /** How many milliseconds after this was read that is, as for the header `Retry-After`; absent if it does not. */
  readonly retryAfterMs?: number
  /**
   * How many milliseconds the window goes on when nothing is heard of the process that it is tied to (`heldWhile: "alive"`);
   * absent if it is tied to none.
   */
  readonly graceMs?: number
  /** How many connections of each instance others than the maintainer may use; absent if that is not bounded. */
  readonly readers?: number
  /** The window that is to begin later; absent if there is none. */
  readonly announced?: AnnouncedWindow
  /** Counts the changes of the state; a larger number is a later state. */
  readonly epoch: number
}

/** A window that is to begin later. It restricts nobody yet. */
export interface AnnouncedWindow {
  readonly mode: Exclude<Mode, "normal">
  /** Who will hold it. */
  readonly maintainer: string
  readonly reason?: string
  /** When it begins, on the database's clock. */
  readonly startsAt: Date
  /** How many milliseconds after this was read that is. */
  readonly startsInMs: number
  /** How many milliseconds after its beginning it ends by itself; absent if that is not known. */
  readonly expiresInMs?: number
  /** Whether the process that announced it is gone, for ever or for a moment: if it is not there at the time, nothing begins. */
  readonly isInterrupted: boolean
}

/** A process in which the plugin is installed; several, if it is in several of its DataSources. */
export interface Instance {
  /** Counts the instances that there ever were. */
  readonly id: number
  /** The name of its machine. */
  readonly host: string
  /** Its process id there. */
  readonly pid: number
  /** Its version of this package. */
  readonly version: string
  /** Since when its watch is connected, on the database's clock. */
  readonly since: Date
  /** The epoch of the state that it knows, and refuses early by. */
  readonly epoch: number
  /** How often it has refused something since it started; told within 10 seconds. */
  readonly refusals: number
}

/** The state of the maintenance, and who takes part. */
export interface MaintenanceReport extends MaintenanceStatus {
  /**
   * The mode, or `entering` while `enter()` waits for what others had running. The mode restricts from the beginning of
   * that on.
   */
  readonly state: Mode | "entering"
  /**
   * Whether who entered the mode was gone before that was done: then the mode stands, and what others had running may be
   * running still. Or whether the process of the `during()` whose window this is, is gone, for ever or for a moment.
   */
  readonly isInterrupted: boolean
  /** The processes whose watch is connected. None are known to a read replica. */
  readonly instances: readonly Instance[]
}

/** What `enter()` has brought about. */
export interface Entered extends MaintenanceStatus {
  /**
   * The instances that have not told in time that they know the new mode. They cannot write either, and in exclusive mode
   * their reads are refused by the server.
   */
  readonly unacknowledged: readonly Instance[]
}

/** A state that was read, and the name that the database has for it among all that ever were. */
export interface StampedState {
  readonly status: MaintenanceStatus
  /**
   * Digits. No other state ever has the same. Undefined if it is not what transactions see: then they are to read the
   * state itself.
   */
  readonly stamp: string | undefined
  /** When it was read, as `performance.now()` tells the time. */
  readonly readAt: number
  /** When the window ends by itself, by that time, at the earliest; undefined if it does not. */
  readonly endsAt: number | undefined
  /** The same on the database's clock, in milliseconds since 1970. */
  readonly endsAtMs: number | undefined
}

/** Who runs a statement, as the fence is told. */
export interface Actor {
  /** Whom the running code acts for, if it is known. */
  readonly user: string | undefined
  /** Whether that user is named in `emergencyUsers`. */
  readonly isEmergency: boolean
}

/** Whether the state leaves this actor unrestricted. The database decides by the same rule, `is_admitted()`. */
export function isAdmitted(status: Pick<MaintenanceStatus, "mode" | "maintainer">, actor: Actor): boolean {
  return status.mode === "normal" || actor.isEmergency || actor.user === status.maintainer
}
