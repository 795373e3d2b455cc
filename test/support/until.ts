import { setTimeout as pause } from "node:timers/promises"
import type { MaintenanceControl, MaintenanceReport } from "../../src"

/** Pause between looks, in milliseconds, which leaves the processor to the awaited work. */
const betweenMs = 5

/**
 * Polls until the result is not false, null or undefined, and returns it. The test's time limit ends the
 * wait.
 */
export async function until<T>(look: () => T | Promise<T>): Promise<Exclude<T, false | undefined | null>> {
  for (;;) {
    const found = await look()
    if (found !== false && found !== undefined && found !== null) return found as never
    await pause(betweenMs)
  }
}

/** The first status that meets a condition. Failures, such as during an outage of the server, are ignored. */
export function statusThat(
  maintenance: Pick<MaintenanceControl, "status">,
  isRight: (report: MaintenanceReport) => boolean,
): Promise<MaintenanceReport> {
  return until(async () => {
    const report = await maintenance.status().catch(() => undefined)
    return report && isRight(report) && report
  })
}
