import { isEmergency } from "./actions"
import type { Actor, Opening } from "./window"

/** A user, as what the story's users are. */
export const actorOf = (user: string): Actor => ({ user, isEmergency: isEmergency(user) })

/** A text in SQL. */
export const literal = (text: string): string => `'${text}'`

/** An actor as two arguments in SQL. */
export const sqlOf = ({ user, isEmergency: isOne }: Actor): string => `${literal(user)}, ${isOne}`

/** Hours in milliseconds. */
export const msOf = (hours: number | null): number | null => (hours === null ? null : hours * 3_600_000)

/** What start_entering() and announce() take, in SQL. */
export function requestOf(opening: Opening, more: object = {}): string {
  const { user, isEmergency: isOne, within, hours, grace, isAnnounced, ...rest } = opening
  const request = {
    ...rest,
    acting_user: user,
    is_emergency: isOne,
    within_task: within,
    expires_in_ms: msOf(hours),
    grace_ms: msOf(grace),
    within_ms: 1000,
    is_announced: isAnnounced ?? null,
    ...more,
  }
  return literal(
    JSON.stringify(Object.fromEntries(Object.entries(request).filter(([, value]) => value !== null))),
  )
}
