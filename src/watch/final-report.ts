import { setTimeout as pause } from "node:timers/promises"
import type { RefusalCounts } from "../state/refusal-counts"
import type { AwaitedWindows } from "./awaited-windows"
import type { Membership } from "./membership"

/** Time for the final statements when the watch stops, in milliseconds. */
export const finalReportWithinMs = 2000

/** The parts of a watch that may have something left to send. */
export interface Unreported {
  readonly awaited: AwaitedWindows
  readonly counts: RefusalCounts
  readonly membership: Membership
}

/** Takes back the windows whose start a call here waits for, and records the remaining refusals. */
export async function sendFinalReport(
  { awaited, counts, membership }: Unreported,
  stopped: AbortSignal,
): Promise<void> {
  awaited.nothingLapses()
  const isEmpty = awaited.isEmpty && !counts.hasUnreported
  if (isEmpty || stopped.aborted) return
  const givenUp = new AbortController()
  const sent = Promise.allSettled([awaited.lapse(), membership.reportRefusals()])
  await Promise.race([sent, pause(finalReportWithinMs, undefined, { signal: givenUp.signal })])
  givenUp.abort()
}
