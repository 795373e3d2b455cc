import { setTimeout as pause } from "node:timers/promises"
import type { Maintenance, MaintenanceReport } from "../../src"

/** Between two looks, so that what is waited for has the processor. */
const betweenMs = 5

/** Looks until there is something (not false, null, or undefined), and returns it. The time limit of the test ends it. */
export async function until<T>(look: () => T | Promise<T>): Promise<Exclude<T, false | undefined | null>> {
  for (;;) {
    const found = await look()
    if (found !== false && found !== undefined && found !== null) return found as never
    await pause(betweenMs)
  }
}

/** The first status() that is right. One that fails, as while the server is away, is passed over. */
export function statusThat(
  maintenance: Maintenance,
  isRight: (report: MaintenanceReport) => boolean,
): Promise<MaintenanceReport> {
  return until(async () => {
    const report = await maintenance.status().catch(() => undefined)
    return report && isRight(report) && report
  })
}
