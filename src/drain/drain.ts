import { setTimeout as pause } from "node:timers/promises"
import type { Blocker, Sight } from "../mode/blocker"

/** The possible outcomes of a drain for transactions that are still open when the time is over. */
export const drainOutcomes = ["proceed", "cancel", "terminate", "abandon"] as const
/**
 * The outcome of a drain for transactions that are still open when the time is over.
 * - `proceed` leaves them open; they are refused later if their process has the plugin.
 * - `cancel` cancels their statements.
 * - `terminate` terminates their sessions.
 * - `abandon` restores the previous mode.
 */
export type DrainOutcome = (typeof drainOutcomes)[number]

/** The time to wait for in-flight transactions, and the outcome after that. */
export interface DrainPlan {
  readonly withinMs: number
  readonly outcome: DrainOutcome
  /**
   * With `proceed`, the time to wait for commits under way, which can no longer be refused. After that, the
   * window is abandoned.
   */
  readonly commitsWithinMs: number
}

/** The progress of a drain. */
export interface Draining {
  /** The blockers, oldest first. */
  readonly blockers: readonly Blocker[]
  /** Time waited so far, in milliseconds. */
  readonly waitedMs: number
  /** End of the waiting, by the clock of this process. */
  readonly deadline: Date
}

/** The operations that a drain works with. */
export interface Drained {
  /** Finds the blockers: transactions that were open at the first look, and those of the holders. */
  look(holders: readonly number[]): Promise<Sight>
  end(blocker: Blocker, how: "cancel" | "terminate"): Promise<void>
  /**
   * The backends whose transactions have already passed their fence, so that they can no longer be refused; 0
   * stands for prepared transactions. Throws if the window was ended meanwhile.
   */
  holders(): Promise<number[]>
  /**
   * Asks the instances to report again which backends act for the maintainer, since those may have begun a
   * transaction. Resolves when all know the window and have reported, or the time is over.
   */
  inform(): Promise<unknown>
  tell(draining: Draining): void
}

/** Time for cancelled and terminated transactions to end, in milliseconds. */
export const graceMs = 5000
/**
 * Time for which a commit under way is not reported, in milliseconds, because looking up its blocker costs
 * more.
 */
const briefMs = 100
/** Longest interval between looks, and between reports of the same blockers, in milliseconds. */
const lastWaitMs = 250
const tellAgainMs = 1000

/**
 * Waits for in-flight transactions. Resolves with an empty list if they have ended or may be ignored. If the
 * window must be abandoned, resolves with the blockers that are left.
 */
export async function drain(
  drained: Drained,
  { withinMs, outcome, commitsWithinMs }: DrainPlan,
  signal?: AbortSignal,
): Promise<readonly Blocker[]> {
  const start = performance.now()
  const startDate = Date.now()
  let deadline = withinMs
  let isOver = false
  let told = { at: -tellAgainMs, transactions: "" }
  const endOf = (isIgnored: boolean) =>
    isIgnored && Number.isFinite(commitsWithinMs) ? Math.max(deadline, commitsWithinMs) : deadline
  // Transactions that start from now on meet the new mode.
  if (withinMs > 0 || outcome !== "proceed") await drained.look([])
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, lastWaitMs)) {
    signal?.throwIfAborted()
    const waitedMs = performance.now() - start
    const isIgnored = outcome === "proceed" && waitedMs >= deadline
    const holders = await drained.holders()
    const isBrief = holders.length === 0 || waitedMs < deadline + briefMs
    const { blockers: open, ownHolders } =
      isIgnored && isBrief ? { blockers: [], ownHolders: [] } : await drained.look(holders)
    const blockers = isIgnored ? ofHolders(open, holders) : open
    if (holders.length === ownHolders.length && blockers.length === 0) return []
    const transactions = blockers.map(({ transaction }) => transaction).join()
    const isNews = transactions !== told.transactions || waitedMs - told.at >= tellAgainMs
    if (blockers.length > 0 && isNews) {
      // They may belong to the maintainer.
      if (transactions !== told.transactions && transactions !== "") void drained.inform()
      told = { at: waitedMs, transactions }
      drained.tell({
        blockers,
        waitedMs: Math.round(waitedMs),
        deadline: new Date(startDate + endOf(isIgnored)),
      })
    }
    if (isIgnored && waitedMs >= commitsWithinMs && blockers.length > 0) {
      await drained.inform()
      const again = await drained.holders()
      const left = ofHolders((await drained.look(again)).blockers, again)
      if (left.length > 0) return left
      continue
    }
    if (waitedMs >= deadline && outcome !== "proceed" && blockers.length > 0) {
      if (isOver) return blockers
      await drained.inform()
      const { blockers: left } = await drained.look(await drained.holders())
      if (outcome === "abandon") {
        if (left.length > 0) return left
        continue
      }
      isOver = true
      deadline = performance.now() - start + graceMs
      for (const blocker of left) await drained.end(blocker, outcome)
    }
    const leftMs = endOf(isIgnored) - (performance.now() - start)
    const pauseMs = leftMs > 0 ? Math.min(waitMs, leftMs) : waitMs
    await pause(pauseMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
  }
}

/**
 * The blockers that can no longer be refused. Prepared transactions count if there is any holder among them:
 * they cannot be told apart.
 */
function ofHolders(blockers: readonly Blocker[], holders: readonly number[]): Blocker[] {
  return blockers.filter(({ pid = 0 }) => holders.includes(pid))
}
