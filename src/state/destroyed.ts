import { StateUnavailableError } from "../errors"

/** The error for a call whose DataSource is there no more; `then` ends the sentence that says so, with what that means for the call. */
export function destroyed(then: string, cause?: unknown): StateUnavailableError {
  return new StateUnavailableError(
    `The DataSource was destroyed, or maintenance mode uninstalled from it${then}. Call initialize(), and try again.`,
    { isDestroyed: true, cause },
  )
}

/** Whether a call failed because its DataSource is there no more: in this process that does not pass by itself. */
export function isDestroyed(error: unknown): boolean {
  return error instanceof StateUnavailableError && error.isDestroyed
}
