import { setTimeout as pause } from "node:timers/promises"
import type { Blocker, Sight } from "../mode/blocker"

/** What is done with what is still running when the time is over. */
export const drainOutcomes = ["proceed", "cancel", "terminate", "abandon"] as const
/**
 * What is done with what is still running when the time is over: nothing (`proceed`: it is refused later, if it has the plugin), its statement is
 * cancelled (`cancel`) or its session terminated (`terminate`), or the mode goes back to what it was (`abandon`).
 */
export type DrainOutcome = (typeof drainOutcomes)[number]

/** How long to wait for what others had running, and what then. */
export interface DrainPlan {
  readonly withinMs: number
  readonly outcome: DrainOutcome
  /** With `proceed`, how long to wait for commits under way, which can be refused no more; then the mode is abandoned. */
  readonly commitsWithinMs: number
}

/** What is told while it is waited. */
export interface Draining {
  /** Who is in the way; the oldest first. */
  readonly blockers: readonly Blocker[]
  /** How long it has been waited. */
  readonly waitedMs: number
  /** When the waiting is over, by the clock of this process. */
  readonly deadline: Date
}

/** What it works on. */
export interface Drained {
  /** Who is in the way: of what was open at the first look, and of the holders. */
  look(holders: readonly number[]): Promise<Sight>
  end(blocker: Blocker, how: "cancel" | "terminate"): Promise<void>
  /**
   * The backends whose transaction has passed its fence before (0 for prepared transactions), and cannot be refused any more.
   * Throws if the window was ended meanwhile.
   */
  holders(): Promise<number[]>
  /**
   * Has the instances tell anew who acts for the maintainer, who may have begun something since they told; resolves when they know the
   * window and have told, or time is up.
   */
  inform(): Promise<unknown>
  tell(draining: Draining): void
}

/** How long what was cancelled or terminated may take to end. */
export const graceMs = 5000
/** How long a commit that is under way may take without anybody being told of it: to look who it is costs more. */
const briefMs = 100
/** How long to wait at most before looking again, and before telling again. */
const lastWaitMs = 250
const tellAgainMs = 1000

/**
 * Waits for what others had running. Resolves with nobody if it has ended, or may be ignored; with who is left, if the mode
 * is to be abandoned.
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
  // What starts from now on meets the new mode.
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
      // They may be the maintainer's own.
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

/** Those of them that cannot be refused any more; of prepared transactions nobody can tell. */
function ofHolders(blockers: readonly Blocker[], holders: readonly number[]): Blocker[] {
  return blockers.filter(({ pid = 0 }) => holders.includes(pid))
}
