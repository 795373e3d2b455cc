import type { Draining } from "../drain/drain"
import type { MaintenanceReport, MaintenanceStatus } from "../mode/status"
import type { ResolvedOptions } from "../options"
import type { Backend } from "../state/fleet"
import type { StateStore } from "../state/state-store"
import type { Watch } from "../watch/watch"

/** The installation, as far as opening and ending windows needs it. */
export interface WindowHost {
  readonly options: ResolvedOptions
  readonly watch: Watch
  /** The state in the database; rejects with MaintenanceSetupError or StateUnavailableError if it is not ready. */
  store(): Promise<StateStore>
  /** Reads the state anew, also for the other DataSources of this process. */
  refresh(): Promise<MaintenanceStatus>
  report(): Promise<MaintenanceReport>
  /** The backends of this DataSource's pools whose user the window does not restrict. */
  unrestrictedBackends(window: Pick<MaintenanceStatus, "mode" | "maintainer">): readonly Backend[]
}

/** The owner of the windows, as far as it is told of them. */
export interface WindowEvents {
  draining(draining: Draining): void
  /** Listens to changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
}
