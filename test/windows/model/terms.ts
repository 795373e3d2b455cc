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
