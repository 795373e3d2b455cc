import { setTimeout as pause } from "node:timers/promises"
import type { RefusalCounts } from "../state/refusal-counts"
import type { AwaitedWindows } from "./awaited-windows"
import type { Membership } from "./membership"

/** Time for the final statements when the watch stops, in milliseconds. */
export const sayWithinMs = 2000

/** The parts of a watch that may have something left to send. */
export interface Unsaid {
  readonly awaited: AwaitedWindows
  readonly counts: RefusalCounts
  readonly membership: Membership
}

/** Takes back the windows whose start a call here waits for, and records the remaining refusals. */
export async function sayLast({ awaited, counts, membership }: Unsaid, stopped: AbortSignal): Promise<void> {
  awaited.nothingLapses()
  const isSilent = awaited.isEmpty && !counts.hasUntold
  if (isSilent || stopped.aborted) return
  const givenUp = new AbortController()
  const said = Promise.allSettled([awaited.lapse(), membership.tellRefusals()])
  await Promise.race([said, pause(sayWithinMs, undefined, { signal: givenUp.signal })])
  givenUp.abort()
}
