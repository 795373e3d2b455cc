import { setTimeout as pause } from "node:timers/promises"
import type { Branches } from "./branches"
import { describeProgress, type Rebuild } from "./rebuild"
import type { Screen } from "./screen"
import type { Shop } from "./shop"
import type { Tally } from "./tally"

/** The parts that every act needs. */
export interface Stage {
  readonly shop: Shop
  readonly branches: Branches
  readonly screen: Screen
}

/** The plan of one part of the story. */
export interface PhasePlan {
  readonly name: string
  readonly seconds: number
  /** The rebuild that runs in it, if any. */
  readonly rebuild?: Rebuild
  /** The maintainer's work. The phase lasts at least until it is done. */
  work?(): Promise<void>
}

/** The measurements of one part of the story. */
export interface Phase {
  readonly name: string
  readonly rebuild: Rebuild | undefined
  /** The tally of the other users. */
  readonly others: Tally
}

/**
 * Runs a phase, and prints its progress every second. Only the other users' actions that began in the phase
 * count.
 */
export async function runPhase(stage: Stage, plan: PhasePlan): Promise<Phase> {
  await stage.branches.next()
  let isDone = false
  const work = Promise.resolve(plan.work?.()).finally(() => (isDone = true))
  await Promise.all([work, narrate(stage, plan, () => isDone)])
  return { name: plan.name, rebuild: plan.rebuild, others: await stage.branches.next() }
}

async function narrate({ branches, screen }: Stage, plan: PhasePlan, isDone: () => boolean): Promise<void> {
  const beganAt = performance.now()
  let before = await branches.peek()
  for (let second = 1; second <= plan.seconds || !isDone(); second++) {
    await pause(Math.max(0, beganAt + second * 1000 - performance.now()))
    const now = await branches.peek()
    if (now.firstMessage) screen.quoteOnce("   What the others are told:", now.firstMessage)
    screen.progress(`${String(second).padStart(4)} s  ${lineOf(now, before, plan.rebuild)}`)
    before = now
  }
}

/** A progress line for the last second. */
function lineOf(now: Tally, before: Tally, rebuild: Rebuild | undefined): string {
  const seconds = now.seconds - before.seconds
  const rates = (["reads", "commits", "vetoes", "refusals"] as const)
    .filter((count) => now[count] > before[count] || count === "commits")
    .map((count) => `${Math.round((now[count] - before[count]) / seconds)} ${count}`)
  const others = `others/s: ${rates.join(", ")}`
  return rebuild ? `${describeProgress(rebuild)} · ${others}` : others
}
