import type { MaintenanceStatus } from "../../src"

/** What of a status is about the window, and the same whoever tells it. */
export function windowOf({ mode, maintainer, reason, since, epoch }: MaintenanceStatus): object {
  return { mode, maintainer, reason, since, epoch }
}

/** What others have running when exclusive mode begins is not waited for, but refused. */
export const notWaiting = { withinMs: 0, then: "proceed" } as const
