import { AccessRefusedError, StateUnavailableError, WriteVetoedError } from "../errors"
import { destroyed } from "../state/destroyed"
import { notWritable } from "../refusal"
import { isLocked } from "../state/sqlstate"

/** Whether it is a refusal that keeps a call from writing, and not that the database cannot be asked. */
export function isRefusal(obstacle: Error): obstacle is WriteVetoedError | AccessRefusedError {
  return obstacle instanceof WriteVetoedError || obstacle instanceof AccessRefusedError
}

/** The error for a call whose time is over. */
export function failureFor(obstacle: Error, timeoutMs: number): Error {
  if (isRefusal(obstacle)) return notWritable(obstacle, timeoutMs)
  return new StateUnavailableError(
    `It is not known whether the current user may write: ${whyNotTold(obstacle)}. Waited ${timeoutMs} ms (timeoutMs). Retry later.`,
    { cause: obstacle },
  )
}

/** Why it is not known whether a call may write. */
export function whyNotTold(obstacle: Error): string {
  const what = isLocked(obstacle) ? "others have locked the state" : "the database cannot be reached"
  return `${what} (${String(obstacle)})`
}

/** The error for a call that waits for what nobody will tell it. */
export function destroyedMeanwhile(): StateUnavailableError {
  return destroyed(" while this waited until it may write")
}
