import type { MaintenanceStatus } from "./status"

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
