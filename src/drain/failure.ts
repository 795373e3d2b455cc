import { DrainTimeoutError, EnteringInterruptedError, NotMaintainerError } from "../errors"
import { type Blocker, describeBlocker } from "./blocker"
import type { MaintenanceStatus } from "../mode/mode"
import { describeAnnounced, factsOf } from "../state/refusal"
import { type Draining, type DrainPlan, graceMs } from "./drain"
import { fateOf, type Tenure } from "./fate"

/** How many blockers a message names. */
const maxNamed = 10

/** What is said of a mode that is being entered for a while. */
export function stillWaiting({ blockers, waitedMs }: Draining): string {
  const named = blockers.slice(0, maxNamed).map((blocker) => `\n- ${describeBlocker(blocker)}`)
  return `The mode holds, and enter() has waited for ${Math.round(waitedMs / 1000)} s for:${named.join("")}`
}

/** The error for a mode that was not entered, because of who is left. */
export function drainTimedOut(
  blockers: readonly Blocker[],
  { withinMs, outcome }: DrainPlan,
): DrainTimeoutError {
  const many = blockers.length !== 1
  const isTried = outcome === "cancel" || outcome === "terminate"
  const ended = isTried
    ? `, though to be ${outcome === "cancel" ? "cancelled" : "terminated"} ${graceMs} ms ago`
    : ""
  const them = many ? "them" : "it"
  const advice = isTried
    ? `End ${them} by hand (a prepared transaction by ROLLBACK PREPARED), enter as a role that is a member of pg_signal_backend, ` +
      `or leave ${them} to be refused (drain.then: "proceed").`
    : `End ${them}, wait longer (drain.withinMs), or say what to do with what is left (drain.then: "terminate", or ` +
      `"proceed", which leaves ${them} to be refused).`
  const named = blockers.slice(0, maxNamed).map((blocker) => `\n- ${describeBlocker(blocker)}`)
  const more = blockers.length > maxNamed ? `\n- and ${blockers.length - maxNamed} more` : ""
  return new DrainTimeoutError(
    `Mode not changed: after ${withinMs} ms ${blockers.length} transaction${many ? "s" : ""} of others ` +
      `${many ? "were" : "was"} still open${ended}; the mode is what it was before.${named.join("")}${more}\n` +
      advice,
    { blockers },
  )
}

/** The error for a window that is over before it was entered. */
export function endedMeanwhile(
  tenure: Tenure,
  status: MaintenanceStatus,
  cause: unknown,
): NotMaintainerError {
  return new NotMaintainerError(
    `The maintenance was over before it was entered to its end: ${fateOf(tenure, status)}`,
    { ...factsOf(status), cause },
  )
}

/** The error for a task whose window was gone before it was done. */
export function taskLost(tenure: Tenure, status: MaintenanceStatus): NotMaintainerError {
  return new NotMaintainerError(
    `The maintenance was over before its task was done: ${fateOf(tenure, status)} What the task has committed is stored.`,
    factsOf(status),
  )
}

/** The error for a mode that holds, though it was not waited for all that others had running. */
export function interrupted(cause: unknown): EnteringInterruptedError {
  return new EnteringInterruptedError(
    `The mode holds, but was not entered to its end: ${messageOf(cause)}\n` +
      "What others had running may be running still: enter it again to have that waited for, or leave it.",
    { cause },
  )
}

/** The same, for a task that was not begun for that, and whose window was ended again. */
export function interruptedTask({ cause }: EnteringInterruptedError): EnteringInterruptedError {
  return new EnteringInterruptedError(
    `The task was not begun, for its mode was not entered to its end: ${messageOf(cause)}\n` +
      "The mode is what it was before.",
    { cause },
  )
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/**
 * The error for a window that did not begin as it was announced: `lateMs` after its time, if it is announced still, or by the status
 * as it is now.
 */
export function notBegun(lateMs: number | undefined, { announced }: MaintenanceStatus): NotMaintainerError {
  const other = announced && describeAnnounced({ ...announced, since: announced.startsAt })
  const why =
    lateMs === undefined
      ? other
        ? `another was announced instead; ${other}`
        : "it was taken back"
      : `its time was missed by ${Math.round(lateMs / 1000)} s, for this process was stopped, or cut off from the database`
  return new NotMaintainerError(`The announced maintenance did not begin: ${why}.`, {
    mode: announced?.mode,
    maintainer: announced?.maintainer,
    reason: announced?.reason,
  })
}
