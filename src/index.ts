export { AsMaintainer, DuringMaintenance } from "./decorators"
export type { DuringMaintenanceOptions, MaintenanceDecorator, UserOf } from "./decorators"
export type { Blocker } from "./mode/blocker"
export type { Draining } from "./drain/drain-plan"
export type { DrainOutcome } from "./mode/drain-outcome"
export type { AnnounceOptions, DrainOptions, EnterOptions } from "./window/enter-options"
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
export type { RunningTask } from "./errors"
export type { ActedFor, RefusalFacts } from "./mode/refusal-facts"
export type { RefusedChange } from "./mode/refused-change"
export { connectMaintenance } from "./connected-control"
export type { ConnectedControl, ConnectOptions, CreateClient } from "./connected-control"
export type { MaintenanceControl } from "./maintenance-control"
export { installMaintenance, Maintenance, maintenanceOf } from "./maintenance"
export type {
  Announced,
  BlockersOptions,
  CancelOptions,
  ExtendOptions,
  LeaveOptions,
  ProgressOptions,
  TransferOptions,
} from "./window/call-options"
export type { MaintenanceEvents } from "./maintenance-events"
export type { RunAsOptions } from "./identity/current-actor"
export type { TransactionOptions } from "./enforcement/retried-transaction"
export type { WaitOptions } from "./waiting/when-writable"
export type { EndedBecause } from "./mode/ending"
export type { AnnouncedWindow, MaintenanceWindow, OpenWindow } from "./mode/window"
export type { Entered, MaintenanceReport, MaintenanceStatus } from "./mode/status"
export type { Instance } from "./mode/instance"
export type { Mode } from "./mode/mode"
export type {
  JournalOptions,
  MinuteOfRefusals,
  PastWindow,
  RefusalCount,
  RefusalsOptions,
} from "./mode/journal"
export type { Progress, ReportedProgress } from "./mode/progress"
export type { MaintenanceOptions } from "./options"
export type { RefusalPolicy, VetoAt } from "./shared"
export { MaintenanceMigration } from "./enforcement/migration"
export { maintenanceSchemaSql, schemaVersion as maintenanceSchemaVersion } from "./state/schema"
