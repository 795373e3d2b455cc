import type { Actor } from "./actor"
import type { MaintenanceStatus } from "./status"

/** What a window denies an actor: nothing, to change anything, or any access. */
export type Restriction = "none" | "writes" | "all"

/** An actor of whom nothing is known: every window restricts it. */
export const anybody: Actor = { user: undefined, isEmergency: false }

/**
 * The one rule of the modes: what this state denies this actor. The database decides by the same rule, in `restriction_of()`.
 */
export function restrictionOf(
  status: Pick<MaintenanceStatus, "mode" | "maintainer">,
  { user, isEmergency }: Actor,
): Restriction {
  if (status.mode === "normal" || isEmergency || user === status.maintainer) return "none"
  return status.mode === "exclusive" ? "all" : "writes"
}
