import {
  DrainTimeoutError,
  EnteringInterruptedError,
  MaintenanceInputError,
  MaintenanceSetupError,
  NotMaintainerError,
  OutcomeUnknownError,
  StateUnavailableError,
  WindowEndedError,
} from "../index"
import { InputFault } from "./input-fault"

/** Exit codes of the command line. docs/guides/cli.md lists them. */
export const exitCode = {
  done: 0,
  no: 1,
  input: 2,
  notMaintainer: 3,
  drainTimeout: 4,
  windowEnded: 5,
  unavailable: 6,
  setup: 7,
  unknown: 8,
  declined: 9,
  unexpected: 70,
  notRun: 125,
  notExecutable: 126,
  notFound: 127,
} as const

type ErrorClass = abstract new (...args: never[]) => Error

const codes: readonly (readonly [ErrorClass, number])[] = [
  [InputFault, exitCode.input],
  [MaintenanceInputError, exitCode.input],
  [NotMaintainerError, exitCode.notMaintainer],
  [DrainTimeoutError, exitCode.drainTimeout],
  [WindowEndedError, exitCode.windowEnded],
  [StateUnavailableError, exitCode.unavailable],
  [MaintenanceSetupError, exitCode.setup],
  [OutcomeUnknownError, exitCode.unknown],
  [EnteringInterruptedError, exitCode.unknown],
]

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  return codes.find(([Class]) => error instanceof Class)?.[1] ?? exitCode.unexpected
}
