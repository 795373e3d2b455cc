import type { MaintenanceStatus } from "../../src"

/** What of a status is about the window, and the same whoever tells it. */
export function windowOf({ mode, maintainer, reason, since, epoch }: MaintenanceStatus): object {
  return { mode, maintainer, reason, since, epoch }
}
