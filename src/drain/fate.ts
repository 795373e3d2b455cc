import type { MaintenanceStatus } from "../mode/mode"
import { describeWindow } from "../state/refusal"

/** A window as it was when it was entered, and when that was, as `performance.now()` tells the time. */
export interface Tenure {
  readonly was: MaintenanceStatus
  readonly at: number
}

/** What became of a window that is there no more, by the state as it is now: why, as far as that can be told, and what is instead. */
export function fateOf(tenure: Tenure, is: MaintenanceStatus): string {
  return `${whyGone(tenure, is)}. ${insteadOf(is)}`
}

/** A sentence for the state as it is now. */
export function insteadOf(is: MaintenanceStatus): string {
  return is.mode === "normal"
    ? "The mode is normal."
    : `Now it is ${is.mode} maintenance ${describeWindow(is)}.`
}

/**
 * Whether the state is of another history than the one that the window was seen in: each change counts the epoch up, so it never goes
 * back, nor is it that of another window.
 */
export function isReplaced({ was }: Tenure, is: MaintenanceStatus): boolean {
  if (is.epoch !== was.epoch) return is.epoch < was.epoch
  // A window that has expired is told to be over before that is put into the row, and counted.
  const mayExpire = was.expiresAt !== undefined || was.graceMs !== undefined
  return !mayExpire && !isSameWindow(was, is)
}

/** Whether it is one spell of maintenance, be it of another maintainer by now, or in another mode. */
export function isSameWindow(was: MaintenanceStatus, is: MaintenanceStatus): boolean {
  return is.since !== undefined && is.since.getTime() === was.since?.getTime()
}

/** What has happened if the state is of another history. */
export const replaced =
  "the state was replaced from outside, as by a restore, or a failover to a server that had not got its last changes"

function whyGone({ was, at }: Tenure, is: MaintenanceStatus): string {
  const { expiresAt, retryAfterMs, graceMs, maintainer } = was
  if (expiresAt && retryAfterMs !== undefined && performance.now() - at >= retryAfterMs)
    return `it expired at ${expiresAt.toISOString()}`
  if (isReplaced({ was, at }, is)) return replaced
  if (isSameWindow(was, is)) {
    return is.maintainer === maintainer
      ? `${maintainer} has entered ${is.mode} mode meanwhile`
      : `it was handed over to ${is.maintainer}`
  }
  if (graceMs !== undefined)
    return `it was ended, or it ended because nothing was heard of this process for ${graceMs} ms`
  return is.mode === "normal" || is.maintainer === maintainer ? "it was ended" : "it was ended or taken over"
}
