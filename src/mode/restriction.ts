import type { Actor } from "./actor"
import type { MaintenanceStatus } from "./status"

/** The actions that a window denies an actor: none, writes, or any access. */
export type Restriction = "none" | "writes" | "all"

/** An actor without a user, whom every window restricts. */
export const anybody: Actor = { user: undefined, isEmergency: false }

/**
 * Applies the one rule of the modes: returns the actions that this state denies this actor. The database
 * applies the same rule in `restriction_of()`.
 */
export function restrictionOf(
  status: Pick<MaintenanceStatus, "mode" | "maintainer">,
  { user, isEmergency }: Actor,
): Restriction {
  if (status.mode === "normal" || isEmergency || user === status.maintainer) return "none"
  return status.mode === "exclusive" ? "all" : "writes"
}
