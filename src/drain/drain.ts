import { setTimeout as pause } from "node:timers/promises"
import type { Blocker } from "../mode/blocker"
import type { Drained, DrainPlan } from "./drain-plan"
import { firstStage } from "./drain-stages"

/** Longest interval between looks, in milliseconds. */
const lastWaitMs = 250
/** Longest interval between reports of the same blockers, in milliseconds. */
const reportAgainMs = 1000

/**
 * Waits for in-flight transactions. Resolves with an empty list if they have ended or may be ignored. If the
 * window must be abandoned, resolves with the blockers that are left.
 */
export async function drain(
  drained: Drained,
  plan: DrainPlan,
  signal?: AbortSignal,
): Promise<readonly Blocker[]> {
  const start = performance.now()
  const elapsed = () => performance.now() - start
  const report = reporter(drained, plan)
  let stage = firstStage(drained, plan)
  // Transactions that start from now on meet the new mode.
  if (plan.withinMs > 0 || plan.outcome !== "proceed") await drained.look([])
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, lastWaitMs)) {
    signal?.throwIfAborted()
    const waitedMs = elapsed()
    if (stage.next && waitedMs >= stage.endsAtMs) stage = stage.next
    const holders = await drained.holders()
    const { blockers, ownHolders } = await stage.look(holders, waitedMs)
    if (holders.length === ownHolders.length && blockers.length === 0) return []
    report(blockers, waitedMs, stage.endsAtMs)
    if (waitedMs >= stage.endsAtMs && blockers.length > 0) {
      const next = await stage.end(blockers, elapsed)
      if (!("endsAtMs" in next)) return next
      if (next === stage) continue
      stage = next
    }
    const leftMs = stage.endsAtMs - elapsed()
    const pauseMs = leftMs > 0 ? Math.min(waitMs, leftMs) : waitMs
    await pause(pauseMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
  }
}

/** Returns the function that reports blockers when they have changed, and again after a while. */
function reporter(drained: Drained, { withinMs }: DrainPlan) {
  const startDate = Date.now()
  let reported = { at: -reportAgainMs, transactions: "" }
  return (blockers: readonly Blocker[], waitedMs: number, endsAtMs: number): void => {
    const transactions = blockers.map(({ transaction }) => transaction).join()
    const isNews = transactions !== reported.transactions || waitedMs - reported.at >= reportAgainMs
    if (blockers.length === 0 || !isNews) return
    // They may belong to the maintainer.
    if (transactions !== reported.transactions) void drained.inform()
    reported = { at: waitedMs, transactions }
    const deadlineMs = Number.isFinite(endsAtMs) ? endsAtMs : withinMs
    drained.report({ blockers, waitedMs: Math.round(waitedMs), deadline: new Date(startDate + deadlineMs) })
  }
}
