import { isEmergency } from "./actions"
import type { Actor, Opening } from "./window"

/** An actor for a user of the story. */
export const actorOf = (user: string): Actor => ({ user, isEmergency: isEmergency(user) })

/** A text as an SQL literal. */
export const literal = (text: string): string => `'${text}'`

/** An actor as two SQL arguments. */
export const sqlOf = ({ user, isEmergency: isOne }: Actor): string => `${literal(user)}, ${isOne}`

/** Converts hours to milliseconds. */
export const msOf = (hours: number | null): number | null => (hours === null ? null : hours * 3_600_000)

/** The argument of `start_entering()` and `announce()`, in SQL. */
export function requestOf(opening: Opening): string {
  const { user, isEmergency: isOne, within, hours, planned, grace, isAnnounced, ...rest } = opening
  const request = {
    ...rest,
    acting_user: user,
    is_emergency: isOne,
    within_task: within,
    expires_in_ms: msOf(hours),
    planned_in_ms: msOf(planned),
    grace_ms: msOf(grace),
    within_ms: 1000,
    is_announced: isAnnounced ?? null,
  }
  return literal(
    JSON.stringify(Object.fromEntries(Object.entries(request).filter(([, value]) => value !== null))),
  )
}
