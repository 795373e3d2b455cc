import { DrainTimeoutError, EnteringInterruptedError, NotMaintainerError } from "../errors"
import { type Blocker, describeBlocker } from "./blocker"
import { type Draining, type DrainPlan, graceMs } from "./drain"

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
export function endedMeanwhile(): NotMaintainerError {
  return new NotMaintainerError(
    "The maintenance had expired, was ended, handed over, or another mode entered, while this one was being entered.",
  )
}

/** The error for a mode that holds, though it was not waited for all that others had running. */
export function interrupted(cause: unknown): EnteringInterruptedError {
  return new EnteringInterruptedError(
    `The mode holds, but was not entered to its end: ${cause instanceof Error ? cause.message : String(cause)}\n` +
      "What others had running may be running still: enter it again to have that waited for, or leave it.",
    { cause },
  )
}

/** The error for a window that did not begin as it was announced. */
export function withdrawn(cause?: unknown): NotMaintainerError {
  return new NotMaintainerError(
    "The announced maintenance did not begin: it was withdrawn, or another announced instead, or its time was missed by a minute.",
    { cause },
  )
}
