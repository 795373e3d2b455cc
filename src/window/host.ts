import type { Draining } from "../drain/drain-plan"
import type { AccessRefusedError, WriteVetoedError } from "../errors"
import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { ResolvedOptions } from "../options"
import type { Backend } from "../state/fleet"
import type { StateAccess } from "../watch/state-access"
import type { Watch } from "../watch/watch"

/** The parts of an installation that are needed to open and end windows. */
export interface WindowHost {
  readonly options: ResolvedOptions
  readonly watch: Watch
  /** The state in the database, for callers. */
  readonly access: StateAccess
  /** The backends of this DataSource's pools that act for users whom the window does not restrict. */
  unrestrictedBackends(window: Pick<MaintenanceStatus, "mode" | "maintainer">): readonly Backend[]
}

/** The events that a host reports to its owner. */
export interface HostEvents {
  changed(status: MaintenanceStatus): void
  /** Called with every state that is read, new or not. */
  read(state: StampedState): void
  /** Whether `read` needs all windows of this state. */
  needsWindows(status: MaintenanceStatus): boolean
  overdue(status: MaintenanceStatus): void
  refused(error: WriteVetoedError | AccessRefusedError): void
  /**
   * The host is being closed; for good, unless its DataSource is only destroyed and may be initialized again.
   */
  stopped(isForGood: boolean): void
}

/** The owner of the windows, as far as it is informed about them. */
export interface WindowEvents {
  draining(draining: Draining): void
  /** Adds a listener for changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
}
