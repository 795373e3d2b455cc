import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { Backend } from "../state/fleet"

/** The events that a watch passes to its owner, and the settings that it takes from it. */
export interface WatchOwner {
  /** Called with every new state, after the listeners of `onChange()`. */
  changed(status: MaintenanceStatus): void
  /** Called with every state that is read, new or not. */
  read(state: StampedState): void
  /** Whether all windows of a state must be read for `read()`. */
  needsWindows(status: MaintenanceStatus): boolean
  /** Called once for a window that stands longer than planned. */
  overdue(status: MaintenanceStatus): void
  /** Whether sessions keep statements prepared. */
  readonly isPrepared: boolean
  /** Number of days for which the journal is kept; undefined if this instance deletes nothing of it. */
  readonly journalDays: number | undefined
  /** The backends of the pools that the instance reports, in a state. */
  backends(status: MaintenanceStatus): readonly Backend[]
}
