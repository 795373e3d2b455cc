import type { Draining } from "../drain/drain"
import type { MaintenanceReport, MaintenanceStatus } from "../mode/status"
import type { ResolvedOptions } from "../options"
import type { Backend } from "../state/fleet"
import type { StateStore } from "../state/state-store"
import type { Watch } from "../watch/watch"

/** The part of the installation that opening and ending windows needs. */
export interface WindowHost {
  readonly options: ResolvedOptions
  readonly watch: Watch
  /**
   * Resolves with the state in the database. Rejects with MaintenanceSetupError or StateUnavailableError if
   * it is not ready.
   */
  store(): Promise<StateStore>
  /** Reads the state again, for all DataSources of this process. */
  refresh(): Promise<MaintenanceStatus>
  report(): Promise<MaintenanceReport>
  /** The backends of this DataSource's pools whose user the window does not restrict. */
  unrestrictedBackends(window: Pick<MaintenanceStatus, "mode" | "maintainer">): readonly Backend[]
}

/** Receives the events of windows, and tells of changes of the mode. */
export interface WindowEvents {
  draining(draining: Draining): void
  /** Registers a listener for changes of the mode. Returns its undo. */
  onChange(listener: () => void): () => void
}
