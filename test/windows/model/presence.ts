import type { Opening, Window } from "./window"

/** The instances whose watch is connected. */
type Live = ReadonlySet<number>

/** Whether the process is there that enters a window, and waits for what was running. */
export const isWaitedFor = ({ isEntering, isAwaited, instance }: Window, live: Live): boolean =>
  isEntering && isAwaited && instance !== null && live.has(instance)

/** Whether a window is of a task of the same user that does not come back, as far as what is to be opened is concerned. */
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
