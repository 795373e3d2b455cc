import { AccessRefusedError, StateUnavailableError, WriteVetoedError } from "../errors"
import { destroyed } from "../state/destroyed"
import { notWritable } from "../refusal"
import { isLocked } from "../sqlstate"

/** Whether a refusal keeps a call from writing, and not a database that cannot be reached. */
export function isRefusal(obstacle: Error): obstacle is WriteVetoedError | AccessRefusedError {
  return obstacle instanceof WriteVetoedError || obstacle instanceof AccessRefusedError
}

/** Returns the error for a call whose time is over. */
export function failureFor(obstacle: Error, timeoutMs: number): Error {
  if (isRefusal(obstacle)) return notWritable(obstacle, timeoutMs)
  return new StateUnavailableError(
    `Could not determine whether the current user may write: ${whyUnknown(obstacle)}. The call waited for ` +
      `${timeoutMs} ms (timeoutMs). Retry later.`,
    { cause: obstacle },
  )
}

/** Returns the reason why it is not known whether a call may write. */
export function whyUnknown(obstacle: Error): string {
  const what = isLocked(obstacle) ? "other sessions have locked the state" : "the database cannot be reached"
  return `${what} (${String(obstacle)})`
}

/** Returns the error for a call that waited when the DataSource was destroyed. */
export function destroyedMeanwhile(): StateUnavailableError {
  return destroyed(" while this call was waiting for permission to write")
}
