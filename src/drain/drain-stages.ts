import type { Blocker, Sight } from "../mode/blocker"
import type { Drained, DrainPlan } from "./drain-plan"

/** Time for cancelled and terminated transactions to end, in milliseconds. */
export const graceMs = 5000
/**
 * Time for which a commit under way is not reported, in milliseconds, because looking up its blocker costs
 * more.
 */
const briefMs = 100

/** A stage of a drain: the transactions that it waits for, until when, and what comes after that. */
export interface Stage {
  /** End of the stage in milliseconds after the beginning of the drain; Infinity for none. */
  readonly endsAtMs: number
  /** The stage that follows as soon as this one is over, whatever is left. */
  readonly next?: Stage | undefined
  /** Finds the transactions that this stage waits for. */
  look(holders: readonly number[], waitedMs: number): Promise<Sight>
  /**
   * Called if blockers are left when a stage without a next one is over. Returns the stage to go on with, or
   * the blockers for which the window must be abandoned.
   */
  end(blockers: readonly Blocker[], elapsed: () => number): Promise<Stage | readonly Blocker[]>
}

/** Returns the stage with which a drain begins. */
export function firstStage(drained: Drained, plan: DrainPlan): Stage {
  const { withinMs, outcome } = plan
  if (outcome === "proceed") return new AllTransactions(drained, withinMs, new CommitsOnly(drained, plan))
  return outcome === "abandon" ? new Abandoning(drained, withinMs) : new Ending(drained, withinMs, outcome)
}

/** Waits for all in-flight transactions. If some are left, the window must be abandoned. */
class AllTransactions implements Stage {
  readonly endsAtMs: number
  readonly next: Stage | undefined
  protected readonly drained: Drained

  constructor(drained: Drained, endsAtMs: number, next?: Stage) {
    this.drained = drained
    this.endsAtMs = endsAtMs
    this.next = next
  }

  look(holders: readonly number[]): Promise<Sight> {
    return this.drained.look(holders)
  }

  async end(blockers: readonly Blocker[], _elapsed: () => number): Promise<Stage | readonly Blocker[]> {
    return blockers
  }
}

/** Waits like AllTransactions, and asks the instances again before it abandons. */
class Abandoning extends AllTransactions {
  override async end(): Promise<Stage | readonly Blocker[]> {
    const { blockers: left } = await lookAgain(this.drained)
    return left.length > 0 ? left : this
  }
}

/**
 * Waits for all in-flight transactions, then ends those that are left, and waits for a while until they are
 * gone.
 */
class Ending extends AllTransactions {
  readonly #how: "cancel" | "terminate"

  constructor(drained: Drained, endsAtMs: number, how: "cancel" | "terminate") {
    super(drained, endsAtMs)
    this.#how = how
  }

  override async end(_blockers: readonly Blocker[], elapsed: () => number): Promise<Stage> {
    const { blockers: left } = await lookAgain(this.drained)
    const endsAtMs = elapsed() + graceMs
    for (const blocker of left) await this.drained.end(blocker, this.#how)
    return new AllTransactions(this.drained, endsAtMs)
  }
}

/**
 * Waits only for commits under way, which can no longer be refused; the fence refuses all other transactions.
 */
class CommitsOnly implements Stage {
  readonly endsAtMs: number
  readonly #drained: Drained
  readonly #sinceMs: number

  constructor(drained: Drained, { withinMs, commitsWithinMs }: DrainPlan) {
    this.#drained = drained
    this.#sinceMs = withinMs
    this.endsAtMs = Math.max(withinMs, commitsWithinMs)
  }

  async look(holders: readonly number[], waitedMs: number): Promise<Sight> {
    const isBrief = holders.length === 0 || waitedMs < this.#sinceMs + briefMs
    if (isBrief) return { blockers: [], ownHolders: [] }
    const { blockers, ownHolders } = await this.#drained.look(holders)
    return { blockers: ofHolders(blockers, holders), ownHolders }
  }

  async end(): Promise<Stage | readonly Blocker[]> {
    const { blockers, holders } = await lookAgain(this.#drained)
    const left = ofHolders(blockers, holders)
    return left.length > 0 ? left : this
  }
}

/** Looks once more, when the instances have reported which backends act for the maintainer. */
async function lookAgain(drained: Drained) {
  await drained.inform()
  const holders = await drained.holders()
  const { blockers } = await drained.look(holders)
  return { blockers, holders }
}

/**
 * Returns the blockers that can no longer be refused. Prepared transactions count if there is any holder
 * among them: they cannot be told apart.
 */
function ofHolders(blockers: readonly Blocker[], holders: readonly number[]): Blocker[] {
  return blockers.filter(({ pid = 0 }) => holders.includes(pid))
}
