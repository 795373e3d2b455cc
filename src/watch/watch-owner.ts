import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { Backend } from "../state/fleet"

/** What a watch needs of its owner. */
export interface WatchOwner {
  /** Called with every new state. */
  changed(status: MaintenanceStatus): void
  /** Called with every state that is read, new or not. */
  read(state: StampedState): void
  /** Whether all windows of a state are to be read, for what `read` is to find out. */
  needsWindows(status: MaintenanceStatus): boolean
  /** Called once for a window that stands for longer than planned. */
  overdue(status: MaintenanceStatus): void
  /** Whether sessions keep statements prepared. */
  readonly isPrepared: boolean
  /** Number of days for which the journal is kept. */
  readonly journalDays: number
  /** What the others are to know of the pools, in a state. */
  backends(status: MaintenanceStatus): readonly Backend[]
}
