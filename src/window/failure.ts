import {
  EnteringInterruptedError,
  type OutcomeUnknownError,
  StateUnavailableError,
  WindowEndedError,
} from "../errors"
import type { MaintenanceStatus } from "../mode/status"
import { describeAnnounced, factsOf } from "../refusal"
import type { Announcement } from "../state/opening"
import type { Wanted } from "./drain-failure"
import { type Fate, insteadOf } from "./fate"

/**
 * The error for a window that was over before `what` was done. `status` is the current state, if it could be
 * read.
 */
export function windowEnded(
  what: string,
  fate: Fate,
  { status, cause }: { status: MaintenanceStatus | undefined; cause: unknown },
): WindowEndedError {
  const { why } = fate
  const instead = status ? ` ${insteadOf(status)}` : ""
  return new WindowEndedError(`The maintenance was over before ${what}: ${why}.${instead}`, {
    ...(status && factsOf(status)),
    ...fate,
    cause,
  })
}

/** The error for a task whose window was over before the task was done. */
export function taskLost(fate: Fate, status: MaintenanceStatus): WindowEndedError {
  return new WindowEndedError(
    `The maintenance was over before its task was done: ${fate.why}. ${insteadOf(status)} What the task has committed is stored.`,
    { ...factsOf(status), ...fate },
  )
}

/**
 * The error for a mode that is in force although the call did not finish waiting for in-flight transactions.
 */
export function interrupted(
  cause: unknown,
  { call = "enter()", why = messageOf(cause) } = {},
): EnteringInterruptedError {
  return new EnteringInterruptedError(
    `The mode is in force, but ${call} did not finish waiting: ${why}\n` +
      "What others had running may be running still. Enter again to have that waited for, or leave().",
    { cause },
  )
}

/**
 * The error for a task that did not begin because its entering was interrupted, and whose window was ended
 * again.
 */
export function interruptedTask({
  cause,
}: EnteringInterruptedError | OutcomeUnknownError): EnteringInterruptedError {
  return new EnteringInterruptedError(
    `The task was not begun, for its mode was not entered to its end: ${messageOf(cause)}\n` +
      "The mode is what it was before.",
    { cause },
  )
}

/** The reason for aborting the entering when a signal asks the process to end. */
export function brokenOffBySignal(signal: NodeJS.Signals): DOMException {
  return new DOMException(
    `The mode was not entered: the process received ${signal} (leaveOnSignal). The mode is what it was before.`,
    "AbortError",
  )
}

/** The error for a task whose window was ended by a signal. */
export function taskEndedBySignal(
  signal: NodeJS.Signals,
  fate: Fate,
  status: MaintenanceStatus,
): WindowEndedError {
  return new WindowEndedError(
    `The maintenance was over before its task was done: the process received ${signal} (leaveOnSignal). ` +
      "What the task has committed is stored.",
    { ...factsOf(status), ...fate },
  )
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/**
 * The error for an announced window whose DataSource is destroyed before its start. `hasLapsed` says whether
 * the announcement could be taken back.
 */
export function destroyedBefore(wanted: Wanted, hasLapsed: boolean, cause: unknown): StateUnavailableError {
  const window = `the ${describeWanted(wanted)}`
  return new StateUnavailableError(
    "The DataSource was destroyed, or maintenance mode uninstalled from it, " +
      (hasLapsed
        ? `so what was announced is taken back: ${window} does not begin.`
        : `but what was announced could not be taken back, for the database did not answer: another process begins ${window}, unless it is cancelled.`),
    { isDestroyed: true, cause },
  )
}

function describeWanted({ mode, actor, reason }: Wanted): string {
  return `${mode} maintenance of ${actor.user}${reason ? ` (${reason})` : ""}`
}

/** The warning of a process that has begun an announced window and failed to enter it completely. */
export function announcedFailed(wanted: Wanted, error: unknown): string {
  return `This process has begun the announced ${describeWanted(wanted)}, which was not entered to its end. ${messageOf(error)}`
}

/**
 * The error for an announced window that did not begin. It is derived from the window's end and the current
 * status.
 */
export function notBegun(
  announcement: Announcement | undefined,
  { announced }: MaintenanceStatus,
): WindowEndedError {
  return new WindowEndedError(
    `The announced maintenance did not begin: ${whyNotBegun(announcement, announced)}.`,
    {
      endedBecause: announcement?.endedBecause,
      endedBy: announcement?.endedBy,
      mode: announced?.mode,
      maintainer: announced?.maintainer,
      reason: announced?.reason,
    },
  )
}

function whyNotBegun(
  { endedBecause, endedBy }: Partial<Announcement> = {},
  other: MaintenanceStatus["announced"],
): string {
  const by = endedBy === undefined ? "" : ` by ${endedBy}`
  switch (endedBecause) {
    case "cancelled":
      return `it was taken back${by}`
    case "missed":
      return "its time was missed, for somebody else held a window then, or no process began it in time"
    case "switched":
    case "taken over":
      return `another was announced instead${by}${other ? `; ${describeAnnounced({ ...other, since: other.startsAt })}` : ""}`
    case undefined:
      return "the database does not know of it any more, as after a restore"
    default:
      return `another process has begun it, and it is over${by} (${endedBecause})`
  }
}
