import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { StateStore } from "../state/state-store"

/** The contents of a read. */
export interface ReadTerms {
  /** Whether all windows are read in any case. */
  readonly isWhole: boolean
  /** Whether all windows of a state must be read. */
  needsWindows(status: MaintenanceStatus): boolean
}

/** Reads the state, with a stamp if it can have one. */
export async function readStamped(store: StateStore, terms: ReadTerms): Promise<StampedState> {
  const state = await readOnce(store, terms)
  if (state.stamp !== undefined) return state
  // There is no stamp after a rolled-back switch or an expiry. If it cannot be set, each fence reads the
  // state.
  await store.mend().catch(() => undefined)
  return readOnce(store, terms)
}

/** Reads the windows only where they are needed, because every instance reads each change. */
async function readOnce(store: StateStore, { isWhole, needsWindows }: ReadTerms): Promise<StampedState> {
  const state = await store.read({ withWindows: isWhole })
  return isWhole || !needsWindows(state.status) ? state : store.read({ withWindows: true })
}
