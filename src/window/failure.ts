import {
  EnteringInterruptedError,
  type OutcomeUnknownError,
  StateUnavailableError,
  WindowEndedError,
} from "../errors"
import type { MaintenanceStatus } from "../mode/status"
import { capitalized, describeAnnounced, factsOf, messageOf } from "../refusal"
import type { Announcement } from "../state/opening"
import { lineBreak } from "../text"
import type { Wanted } from "./drain-failure"
import { type Fate, insteadOf, missed } from "./fate"

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
  return new WindowEndedError(`The window ended before ${what}: ${why}.${instead}`, {
    ...(status && factsOf(status)),
    ...fate,
    cause,
  })
}

/** The error for a task whose window was over before the task was done. */
export function taskLost(fate: Fate, status: MaintenanceStatus): WindowEndedError {
  return new WindowEndedError(
    `The window ended before its task was done: ${fate.why}. ${insteadOf(status)} The changes that the task committed are stored.`,
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
    `The mode is in force, but ${call} did not finish waiting: ${why}${lineBreak}` +
      "In-flight transactions of other users may still be open. Call enter() again to wait for them, or leave().",
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
    `The task did not run, because during() did not finish waiting: ${messageOf(cause)}${lineBreak}` +
      "The previous mode is in force again.",
    { cause },
  )
}

/** The reason for aborting the entering when a signal asks the process to end. */
export function brokenOffBySignal(signal: NodeJS.Signals): DOMException {
  return new DOMException(
    `The mode was not entered: the process received ${signal} (leaveOnSignal). The previous mode is in force.`,
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
    `The window ended before its task was done: the process received ${signal} (leaveOnSignal). ` +
      "The changes that the task committed are stored.",
    { ...factsOf(status), ...fate },
  )
}

/**
 * The error for an announced window whose DataSource is destroyed before its start. `hasLapsed` says whether
 * the announcement could be cancelled.
 */
export function destroyedBefore(
  wanted: Wanted & { readonly task: string | undefined },
  hasLapsed: boolean,
  cause: unknown,
): StateUnavailableError {
  const window = `the ${describeWanted(wanted)}`
  return new StateUnavailableError(
    "The DataSource was destroyed, or maintenance mode was uninstalled from it, " +
      (hasLapsed
        ? `so the announcement was cancelled. ${capitalized(window)} does not begin.`
        : `but the announcement could not be cancelled, because the database did not answer. ` +
          (wanted.task === undefined
            ? `Another process begins ${window}, unless it is cancelled.`
            : `${capitalized(window)} does not begin, because its process is gone.`)),
    { isDestroyed: true, cause },
  )
}

function describeWanted({ mode, actor, reason }: Wanted): string {
  return `${mode} maintenance by ${actor.user}${reason ? ` (${reason})` : ""}`
}

/** The warning of a process that has begun an announced window and failed to enter it completely. */
export function announcedFailed(wanted: Wanted, error: unknown): string {
  return `This process began the announced ${describeWanted(wanted)}, but did not finish entering it. ${messageOf(error)}`
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
    `The announced window did not begin: ${whyNotBegun(announcement, announced)}.`,
    {
      endedBecause: announcement?.endedBecause,
      endedBy: announcement?.endedBy,
      mode: announced?.mode,
      maintainer: announced?.maintainer,
      reason: announced?.reason,
      publicMessage: announced?.message,
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
      return `it was cancelled${by}`
    case "missed":
      return missed
    case "switched":
    case "taken over":
      return `another window was announced in its place${by}${other ? `; ${describeAnnounced({ ...other, since: other.startsAt })}` : ""}`
    case undefined:
      return "the database no longer knows it, for example after a restore"
    default:
      return `another process began it, and it is over${by} (${endedBecause})`
  }
}
