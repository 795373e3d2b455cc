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
  /** The window that is in force: names it in `windows`, and later in the journal; absent in normal mode. */
  readonly windowId?: string
  /** The user who entered the maintenance; absent in normal mode. */
  readonly maintainer?: string
  /** Why, as the maintainer said on entering. */
  readonly reason?: string
  /** What the public is told, as the maintainer said on entering. */
  readonly message?: string
  /** When the maintenance began, on the database's clock; absent in normal mode. */
  readonly since?: Date
  /** When the maintainer expects to be done, on the database's clock; absent if nothing was said of that. */
  readonly plannedUntil?: Date
  /** Whether that is past; absent in normal mode, and if nothing was said of it. */
  readonly isOverdue?: boolean
  /** When the window ends by itself, on the database's clock; absent if it does not. */
  readonly expiresAt?: Date
  /**
   * In how many milliseconds after this was read the window ends by itself, or else is planned to end, as for the header `Retry-After`;
   * absent if neither is known, or the plan is overdue.
   */
  readonly retryAfterMs?: number
  /**
   * How many milliseconds the window goes on when nothing is heard of the process that it is tied to (`heldWhile: "alive"`);
   * absent if it is tied to none.
   */
  readonly graceMs?: number
  /** How many connections of each instance others than the maintainer may use; absent if that is not bounded. */
  readonly readers?: number
  /** The window that is to begin next; absent if there is none. */
  readonly announced?: AnnouncedWindow
  /** Counts the changes of the state; a larger number is a later state. */
  readonly epoch: number
}

/** A window that is to begin later. It restricts nobody yet. */
export interface AnnouncedWindow {
  /** Names it to `cancel()`. */
  readonly id: string
  readonly mode: Exclude<Mode, "normal">
  /** Who will hold it. */
  readonly maintainer: string
  readonly reason?: string
  /** What the public is told. */
  readonly message?: string
  /** When it begins, on the database's clock. */
  readonly startsAt: Date
  /** How many milliseconds after this was read that is. */
  readonly startsInMs: number
  /** How many milliseconds after its beginning it ends by itself; absent if that is not known. */
  readonly expiresInMs?: number
  /** When the maintainer expects to be done, on the database's clock; absent if nothing was said of that. */
  readonly plannedUntil?: Date
  /**
   * Whether the process whose call waits for it is gone, for ever or for a moment: then another instance begins it, but not that of a
   * `during()`, which does not begin.
   */
  readonly isInterrupted: boolean
}

/** A window that has begun, and is not over. Windows lie over one another: the last is in force, what it lies over is when it ends. */
export interface OpenWindow {
  /** Names it. */
  readonly id: string
  /** `entering` while what others had running is waited for. */
  readonly position: "entering" | "standing"
  readonly mode: Exclude<Mode, "normal">
  readonly maintainer: string
  readonly reason?: string
  /** What the public is told. */
  readonly message?: string
  /** When the maintenance began that it is a part of, on the database's clock. */
  readonly since: Date
  /** When this window began, on the database's clock. */
  readonly begunAt: Date
  /** When nothing of others was waited for any more, on the database's clock; absent while it is. */
  readonly enteredAt?: Date
  /** When the maintainer expects to be done, on the database's clock; absent if nothing was said of that. */
  readonly plannedUntil?: Date
  /** When it ends by itself, on the database's clock; absent if it does not. */
  readonly expiresAt?: Date
  /** How many milliseconds it goes on when nothing is heard of the process that it is tied to; absent if it is tied to none. */
  readonly graceMs?: number
  /** How many connections of each instance others may use; absent if that is not bounded. */
  readonly readers?: number
  /** Whether it is that of a `during()`. */
  readonly isTask: boolean
  /** Whether who enters it does not wait any more, or the process of its `during()` is gone, for ever or for a moment. */
  readonly isInterrupted: boolean
}

/** A window that is not over: one that has begun, or is announced. */
export type MaintenanceWindow = OpenWindow | (AnnouncedWindow & { readonly position: "announced" })

/** Whether a window is announced, and has not begun. */
export function isAnnounced(
  window: MaintenanceWindow,
): window is Extract<MaintenanceWindow, { position: "announced" }> {
  return window.position === "announced"
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
  /** All windows that are not over: those that have begun, the one in force last, then those that are announced. */
  readonly windows: readonly MaintenanceWindow[]
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
  /** All that are not over, if they were asked for; at least those that are announced. */
  readonly windows: readonly MaintenanceWindow[]
  /**
   * Digits. No other state ever has the same. Undefined if it is not what transactions see: then they are to read the
   * state itself.
   */
  readonly stamp: string | undefined
  /** When it was read, as `performance.now()` tells the time. */
  readonly readAt: number
  /** When it will be overdue, by that time; undefined if it is, or will not be. */
  readonly overdueAt: number | undefined
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
