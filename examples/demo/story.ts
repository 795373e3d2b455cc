import { asMaintainer, enter, playConcurrent, playExclusive, playNormal, playNormalAgain } from "./acts"
import { catalogErrors, salesIn, type Sales } from "./books"
import type { Phase, Stage } from "./phase"

/** All that was measured. */
export interface Story {
  readonly phases: Record<"normal" | "concurrent" | "exclusive" | "normalAgain", Phase>
  readonly window: WindowRecord
  /** The sales in the database when all trade had ended, and how many commits the branches counted in all. */
  readonly finalSales: Sales
  readonly finalCommits: number
}

/** What was measured of the window, from when the first `enter()` had resolved until just before `leave()`. */
export interface WindowRecord {
  readonly salesAtBegin: Sales
  readonly salesAtEnd: Sales
  /** How many commits the branches counted in between. */
  readonly commits: number
  /** How many products the catalog described wrongly after the two rebuilds. */
  readonly catalogErrors: number
}

/** Plays the four phases, and closes the branches. */
export async function playStory(stage: Stage): Promise<Story> {
  const { shop, branches } = stage
  const normal = await playNormal(stage)
  const { concurrent, exclusive, window } = await playWindow(stage)
  const normalAgain = await playNormalAgain(stage)
  await branches.close()
  return {
    phases: { normal, concurrent, exclusive, normalAgain },
    window,
    finalSales: await salesIn(shop),
    finalCommits: branches.commits,
  }
}

async function playWindow(
  stage: Stage,
): Promise<{ concurrent: Phase; exclusive: Phase; window: WindowRecord }> {
  const { shop, branches, screen } = stage
  screen.headline(`2  CONCURRENT · maintenance.enter("concurrent"): others may only read`, "cyan")
  await enter(stage, "concurrent")
  const salesAtBegin = await asMaintainer(shop, () => salesIn(shop))
  await branches.next()
  const commitsAtBegin = branches.commits
  const concurrent = await playConcurrent(stage)
  const errors = await asMaintainer(shop, () => catalogErrors(shop))
  screen.headline(`3  EXCLUSIVE · maintenance.enter("exclusive"): nobody but the maintainer`, "red")
  await enter(stage, "exclusive")
  const exclusive = await playExclusive(stage)
  const window = {
    salesAtBegin,
    salesAtEnd: await asMaintainer(shop, () => salesIn(shop)),
    commits: branches.commits - commitsAtBegin,
    catalogErrors: errors + (await asMaintainer(shop, () => catalogErrors(shop))),
  }
  return { concurrent, exclusive, window }
}
