import {
  MaintenanceError,
  MaintenanceInputError,
  NotMaintainerError,
  OutcomeUnknownError,
  type RunningTask,
  StateUnavailableError,
} from "../errors"
import type { RefusalFacts } from "../mode/refusal-facts"
import type { Ending } from "../mode/ending"
import { capitalized, describeAnnounced, describeWindow, factsOf } from "../refusal"
import { isPassingCode } from "../sqlstate"
import { timeText } from "../text"

/** Makes the error for changing a window that another user holds. */
export function notMaintainer(facts: RefusalFacts): NotMaintainerError {
  const { maintainer, expiresAt } = facts
  return new NotMaintainerError(
    `Mode not changed: ${facts.mode} maintenance ${describeWindow(facts)} is in force. Only ${maintainer} or an ` +
      `emergency user may change it. Ask ${maintainer} to leave` +
      (expiresAt
        ? `, or wait until the window ends by itself at ${timeText(expiresAt)}.`
        : `. The window has no set end: it lasts until ${maintainer} or an emergency user ends it.`),
    facts,
  )
}

/**
 * Makes the error for announcing a window that overlaps another user's. `isBounded` tells whether the end of
 * both is known.
 */
export function announcedByOthers(facts: RefusalFacts, isBounded: boolean): NotMaintainerError {
  return new NotMaintainerError(
    `The window was not announced, because it would overlap another one: ${describeAnnounced(facts)}. ` +
      `Only ${facts.maintainer} or an emergency user may replace that one. Choose another time.` +
      (isBounded
        ? ""
        : " A window without expiresInMs or plannedForMs overlaps every window that begins after it."),
    facts,
  )
}

/** Makes the error for cancelling a window that another user has announced. */
export function notYoursToCancel(facts: RefusalFacts): NotMaintainerError {
  return new NotMaintainerError(
    `The window was not cancelled: ${describeAnnounced(facts)}. Only ${facts.maintainer} or an emergency user may cancel it.`,
    facts,
  )
}

/** The present position of a window that is to be cancelled and is not announced. */
export interface NotAnnounced extends Ending {
  /** Undefined if there is no such window. */
  readonly position: string | undefined
  readonly begunAt: Date | undefined
}

/** Makes the error for cancelling a window that is not, or no longer, announced. */
export function notAnnounced(
  { position, begunAt, endedAt, endedBecause, endedBy }: NotAnnounced,
  cause: unknown,
): MaintenanceInputError {
  const at = (date: Date | undefined) => (date ? ` at ${timeText(date)}` : "")
  const by = endedBy === undefined ? "" : ` by ${endedBy}`
  const begun =
    position === "over"
      ? `the window ended${at(endedAt)} (${endedBecause}${by}).`
      : `the window began${at(begunAt)}. Call leave() to end it.`
  const now = position === undefined ? "no window has this id. Look at status().windows." : begun
  return new MaintenanceInputError(`There is nothing to cancel: ${now}`, { cause })
}

/**
 * Makes the error for a `leave()` that has nothing to end, and nothing to cancel except windows that another
 * user has announced.
 */
export function notCancelled(refusal: NotMaintainerError): NotMaintainerError {
  return new NotMaintainerError(
    `There is nothing to leave: the mode is normal, and only other users have announced windows. ` +
      `${capitalized(describeAnnounced(refusal))}. Only ${refusal.maintainer} or an emergency user may cancel it.`,
    { ...factsOf(refusal), cause: refusal.cause },
  )
}

/** Whether a call was refused because its user holds no window: there is none, or it is another user's. */
export function holdsNothing(error: unknown): boolean {
  return error instanceof NotMaintainerError || isNothingToChange(error)
}

/** Whether a call was refused because there is no window to change. */
export function isNothingToChange(error: unknown): boolean {
  return error instanceof MaintenanceInputError && error.mode === "normal"
}

/** Describes a task by its known facts: "process 4711 on db-admin-1, since 2026-01-31 02:00:00 UTC". */
export function describeTask({ host, pid, since }: RunningTask): string {
  const process = pid === undefined ? "a process" : `process ${pid} on ${host}`
  return since ? `${process}, since ${timeText(since)}` : process
}

/** Makes the refusal of a second task of the same user. */
export function anotherTask(task: RunningTask, facts: RefusalFacts): NotMaintainerError {
  const which = `task of ${facts.maintainer} (${describeTask(task)})`
  return new NotMaintainerError(
    task.isGone
      ? `Mode not changed: a ${which} was interrupted, because its process is gone. Its window still stands: ` +
          `${facts.mode} maintenance ${describeWindow(facts)}. Call enter() or leave() as ${facts.maintainer} or an emergency user.`
      : `Mode not changed: another ${which} is running in ${facts.mode} maintenance ${describeWindow(facts)}. ` +
          "Two tasks of one user at once would end each other's windows. Wait for that task, or run this one as another user.",
    { ...facts, task },
  )
}

/**
 * Makes the error for a change of the mode that was requested but not answered. `awaited` is a sentence on
 * what it waits for, if known.
 */
export function perhapsChanged(cause: unknown, awaited: string | undefined): OutcomeUnknownError {
  if (awaited !== undefined) {
    return new OutcomeUnknownError(
      `The mode is not changed yet: ${awaited} This call no longer waits. ${checkStatus("a standby has answered")}`,
      { cause },
    )
  }
  return new OutcomeUnknownError(
    "Could not determine whether the mode was changed: the connection to the database was lost, or the database did " +
      `not answer (${String(cause)}). ${checkStatus("the database answers again")}`,
    { cause },
  )
}

/** Advice for a change that may have been made. */
function checkStatus(when: string): string {
  return (
    `When ${when}, look at status(), and repeat the call if the change was not made. ` +
    "If a mode was entered, no call is waiting for in-flight transactions."
  )
}

/**
 * Turns a transient failure of a change that was not made into an error of this package. Returns any other
 * error as it is.
 */
export function notChanged(error: unknown): unknown {
  if (error instanceof MaintenanceError || !isPassingCode(error)) return error
  return new StateUnavailableError(
    `Mode not changed: the database cannot be reached, or temporarily refuses the change (${String(error)}). Retry later.`,
    { cause: error },
  )
}

/** Makes the error for a window that was opened, was not entered completely, and may have been abandoned. */
export function perhapsAbandoned({ cause, message }: OutcomeUnknownError): OutcomeUnknownError {
  return new OutcomeUnknownError(
    `The mode was entered, and the call then tried to restore the previous one. ${message}`,
    {
      cause,
    },
  )
}
