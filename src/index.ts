export { AsMaintainer, DuringMaintenance } from "./decorators"
export type { DuringMaintenanceOptions, MaintenanceDecorator, UserOf } from "./decorators"
export type { Blocker } from "./drain/blocker"
export type { Draining, DrainOutcome } from "./drain/drain"
export type { AnnounceOptions, DrainOptions, EnterOptions } from "./drain/enter-options"
export {
  AccessRefusedError,
  DrainTimeoutError,
  EnteringInterruptedError,
  MaintenanceError,
  MaintenanceInputError,
  MaintenanceSetupError,
  NotMaintainerError,
  OutcomeUnknownError,
  StateUnavailableError,
  WindowEndedError,
  WriteVetoedError,
} from "./errors"
export type { ActedFor, RefusalFacts, RefusedChange, RunningTask } from "./errors"
export { installMaintenance, Maintenance, maintenanceOf } from "./maintenance"
export type {
  Announced,
  CancelOptions,
  ExtendOptions,
  LeaveOptions,
  MaintenanceEvents,
  RunAsOptions,
  TransactionOptions,
  TransferOptions,
  WaitOptions,
} from "./maintenance"
export type { EndedBecause } from "./mode/ending"
export type {
  AnnouncedWindow,
  Entered,
  Instance,
  MaintenanceReport,
  MaintenanceStatus,
  MaintenanceWindow,
  Mode,
  OpenWindow,
} from "./mode/mode"
export type { JournalOptions, PastWindow, RefusalCount } from "./mode/journal"
export type { MaintenanceOptions } from "./options"
export type { RefusalPolicy } from "./shared"
export { MaintenanceMigration } from "./state/migration"
export { maintenanceSchemaSql } from "./state/schema"
