import { setTimeout as pause } from "node:timers/promises"
import { MaintenanceError } from "../errors"
import type { Lease, StateStore } from "./state-store"

/** How often a lease is renewed within the time that it grants, so that one renewal may fail. */
const renewals = 3

/** Renews a lease as long as this process lives, its window stands, and the DataSource is in use. Keeps no process alive. */
export async function keepRenewing(store: StateStore, lease: Lease): Promise<void> {
  for (;;) {
    await pause(lease.graceMs / renewals, undefined, { ref: false })
    try {
      if (!(await store.renew(lease))) return
    } catch (error) {
      // The DataSource was destroyed, or the schema is gone. A connection that is lost is opened again.
      if (error instanceof MaintenanceError) return
    }
  }
}
