import { Refusal, untimely } from "./refusals"
import type { Opening, Terms, Window } from "./window"

/**
 * The terms of a window that begins now. `own` is the user's window beneath it, if any. A task that states
 * terms has only those; otherwise, omitted terms stay as they were.
 */
export function termsOf(
  asked: Opening,
  { now, isNewTask, own }: { now: number; isNewTask: boolean; own: Window | undefined },
): Terms {
  const { hours, lease, grace, unties } = asked
  if (hours === null && lease === null && !unties) {
    const { terms = asked.id, expires = null, latest = null } = own ?? {}
    return { terms, expires, latest, lease: own?.lease ?? null, grace: own?.grace ?? null }
  }
  const isTied = isNewTask || lease !== null || unties
  const tie = isTied ? { lease, grace } : { lease: own?.lease ?? null, grace: own?.grace ?? null }
  const kept = isNewTask ? null : ((own?.lease ? own.latest : own?.expires) ?? null)
  const latest = hours === null ? kept : now + hours
  const graceEnd = tie.grace === null ? Infinity : now + tie.grace
  const expires = Math.min(latest ?? Infinity, graceEnd)
  return { terms: asked.id, expires: expires === Infinity ? null : expires, latest, ...tie }
}

/**
 * The planned end of a window that begins now, which is never after its end. Throws for a given plan that ends
 * after an inherited end. In the database, equal hours that are counted later end later.
 */
export function plannedOf(
  { planned, hours, isAnnounced }: Opening,
  { now, own, terms }: { now: number; own: Window | undefined; terms: Terms },
): number | null {
  const ends = (terms.lease === null ? terms.expires : terms.latest) ?? Infinity
  const wanted = planned === null ? (own?.planned ?? Infinity) : now + planned
  if (planned !== null && hours === null && !isAnnounced && ends !== Infinity && wanted >= ends)
    throw new Refusal(untimely)
  const end = Math.min(wanted, ends)
  return wanted === Infinity ? null : end
}
