import { StateUnavailableError } from "../errors"

/**
 * Makes the error for a call whose DataSource no longer exists. `then` ends its first sentence with the
 * consequence for the call.
 */
export function destroyed(then: string, cause?: unknown): StateUnavailableError {
  return new StateUnavailableError(
    `The DataSource was destroyed, or maintenance mode was uninstalled from it${then}. Call initialize() and try again.`,
    { isDestroyed: true, cause },
  )
}

/**
 * Whether a call failed because its DataSource no longer exists. In this process, that does not pass by
 * itself.
 */
export function isDestroyed(error: unknown): boolean {
  return error instanceof StateUnavailableError && error.isDestroyed
}
