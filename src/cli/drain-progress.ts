import type { Draining, MaintenanceControl } from "../index"
import { formatDuration } from "./duration"
import { LiveText } from "./screen"
import { blockersLine } from "./text/blockers"

/** Longest time between two lines where the text is not rewritten, in milliseconds. */
const lineEveryMs = 5000

/** Shows what a control waits for while it enters a window, on stderr. Returns the undo. */
export function showDraining(control: MaintenanceControl): () => void {
  const live = new LiveText(process.stderr)
  let last = ""
  let shownAt = Number.NEGATIVE_INFINITY
  const stop = control.on("draining", (draining) => {
    const blockers = draining.blockers.map(({ pid, transaction }) => `${pid} ${transaction}`).join()
    const now = performance.now()
    if (!live.isLive && blockers === last && now - shownAt < lineEveryMs) return
    last = blockers
    shownAt = now
    live.show(drainingLine(draining))
  })
  return () => {
    stop()
    live.clear()
  }
}

function drainingLine({ blockers, deadline }: Draining): string {
  const count = blockers.length === 1 ? "1 transaction" : `${blockers.length} transactions`
  const leftMs = deadline.getTime() - Date.now()
  // A wait without a limit has a deadline that no Date can hold.
  const left = Number.isFinite(leftMs) ? ` · ${formatDuration(leftMs)} left` : ""
  return `Waiting for ${count}: ${blockersLine(blockers)}${left}`
}
