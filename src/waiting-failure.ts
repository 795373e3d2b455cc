import { AccessRefusedError, MaintenanceSetupError, WriteVetoedError } from "./errors"
import { isLocked } from "./state/locked"
import { notTold, notWritable } from "./state/refusal"

/** Whether it is a refusal that keeps a call from writing, and not that the database cannot be asked. */
export function isRefusal(obstacle: Error): obstacle is WriteVetoedError | AccessRefusedError {
  return obstacle instanceof WriteVetoedError || obstacle instanceof AccessRefusedError
}

/** The error for a call whose time is over. */
export function failureFor(obstacle: Error, timeoutMs: number): Error {
  return isRefusal(obstacle)
    ? notWritable(obstacle, timeoutMs)
    : notTold(whyNotTold(obstacle), obstacle, timeoutMs)
}

/** Why it is not known whether a call may write. */
export function whyNotTold(obstacle: Error): string {
  const what = isLocked(obstacle) ? "others have locked the state" : "the database cannot be reached"
  return `${what} (${String(obstacle)})`
}

/** The error for a call that waits for what nobody will tell it. */
export function destroyedMeanwhile(): MaintenanceSetupError {
  return new MaintenanceSetupError(
    "The DataSource was destroyed, or maintenance mode uninstalled, while this waited until it may write.",
  )
}
