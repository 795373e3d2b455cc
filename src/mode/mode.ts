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
  /** Counts the changes of the state; a larger number is a later state. */
  readonly epoch: number
}

/** A state that was read, and the name that the database has for it among all that ever were. */
export interface StampedState {
  readonly status: MaintenanceStatus
  /**
   * Digits. No other state ever has the same. Undefined if it is not what transactions see: then they are to read the
   * state itself.
   */
  readonly stamp: string | undefined
}

/** Who runs a statement, as the fence is told. */
export interface Actor {
  /** Whom the running code acts for, if it is known. */
  readonly user: string | undefined
  /** Whether that user is named in `emergencyUsers`. */
  readonly isEmergency: boolean
}

/** Whether the state leaves this actor unrestricted. The database decides by the same rule, `is_admitted()`. */
export function isAdmitted(status: MaintenanceStatus, actor: Actor): boolean {
  return status.mode === "normal" || actor.isEmergency || actor.user === status.maintainer
}
