import { setTimeout as pause } from "node:timers/promises"
import type { RefusalCounts } from "../state/refusal-counts"
import type { AwaitedWindows } from "./awaited-windows"
import type { Membership } from "./membership"

/** Time for the last words when the watch stops, in milliseconds. */
export const sayWithinMs = 2000

/** What a watch may have left to say. */
export interface Unsaid {
  readonly awaited: AwaitedWindows
  readonly counts: RefusalCounts
  readonly membership: Membership
}

/** Takes back the windows whose beginning a call here waits for, because it does not any longer, and records what was refused. */
export async function sayLast({ awaited, counts, membership }: Unsaid, stopped: AbortSignal): Promise<void> {
  awaited.nothingLapses()
  const isSilent = awaited.isEmpty && !counts.hasUntold
  if (isSilent || stopped.aborted) return
  const givenUp = new AbortController()
  const said = Promise.allSettled([awaited.lapse(), membership.tellRefusals()])
  await Promise.race([said, pause(sayWithinMs, undefined, { signal: givenUp.signal })])
  givenUp.abort()
}
