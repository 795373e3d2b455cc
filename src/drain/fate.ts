import type { MaintenanceStatus } from "../mode/mode"
import { describeWindow } from "../state/refusal"

/** A window as it was when it was entered, and when that was, as `performance.now()` tells the time. */
export interface Tenure {
  readonly was: MaintenanceStatus
  readonly at: number
}

/** What became of a window that is there no more, by the state as it is now: why, as far as that can be told, and what is instead. */
export function fateOf(tenure: Tenure, is: MaintenanceStatus): string {
  const instead =
    is.mode === "normal" ? "The mode is normal." : `Now it is ${is.mode} maintenance ${describeWindow(is)}.`
  return `${whyGone(tenure, is)}. ${instead}`
}

function whyGone({ was, at }: Tenure, is: MaintenanceStatus): string {
  const { expiresAt, retryAfterMs, graceMs, maintainer } = was
  if (expiresAt && retryAfterMs !== undefined && performance.now() - at >= retryAfterMs)
    return `it expired at ${expiresAt.toISOString()}`
  if (is.since && is.since.getTime() === was.since?.getTime()) {
    return is.maintainer === maintainer
      ? `${maintainer} has entered ${is.mode} mode meanwhile`
      : `it was handed over to ${is.maintainer}`
  }
  if (graceMs !== undefined)
    return `it was ended, or it ended because nothing was heard of this process for ${graceMs} ms`
  return is.mode === "normal" || is.maintainer === maintainer
    ? "it was ended by leave()"
    : "it was ended or taken over"
}
