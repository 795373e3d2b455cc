import type { Maintenance, MaintenanceStatus } from "../../src"
import type { Installed } from "./data-source"

/** The part of a status that concerns the window, and is equal in all processes. */
export function windowOf({ mode, maintainer, reason, since, epoch }: MaintenanceStatus): object {
  return { mode, maintainer, reason, since, epoch }
}

/** Options for exclusive mode that refuse in-flight transactions instead of waiting for them. */
export const notWaiting = { withinMs: 0, then: "proceed" } as const

/** Ends the window, if there is one, as the emergency user of the fixtures. */
export async function endWindow(maintenance: Maintenance): Promise<void> {
  if ((await maintenance.status()).mode !== "normal") await maintenance.leave({ as: "break-glass" })
}

/** Ends the window, if there is one, after each test of a `describe` block. */
export function endWindowAfterEach(installed: { readonly current: Installed }): void {
  afterEach(() => endWindow(installed.current.maintenance))
}
