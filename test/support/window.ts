import type { MaintenanceStatus } from "../../src"

/** The part of a status that concerns the window, and is equal in all processes. */
export function windowOf({ mode, maintainer, reason, since, epoch }: MaintenanceStatus): object {
  return { mode, maintainer, reason, since, epoch }
}

/** Options for exclusive mode that refuse in-flight transactions instead of waiting for them. */
export const notWaiting = { withinMs: 0, then: "proceed" } as const
