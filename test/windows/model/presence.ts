import type { Opening, Window } from "./window"

/** The instances whose watch is connected. */
type Live = ReadonlySet<number>

/** Whether the process that enters a window is live and waits for in-flight transactions. */
export const isWaitedFor = ({ isEntering, isAwaited, instance }: Window, live: Live): boolean =>
  isEntering && isAwaited && instance !== null && live.has(instance)

/**
 * Whether a window belongs to a task of the same user whose process will not come back, with regard to the
 * window to open.
 */
export function isGone(
  { task, maintainer, isGivenUp, instance }: Window,
  asked: Opening,
  live: Live,
): boolean {
  const isAway = instance !== null && !live.has(instance)
  const isNewTask = asked.task !== asked.within
  return (
    task !== null &&
    task !== asked.within &&
    maintainer === asked.user &&
    (isGivenUp || (!isNewTask && isAway))
  )
}
