import { asMaintainer, enter, playConcurrent, playExclusive, playNormal, playNormalAgain } from "./acts"
import { catalogErrors, salesIn, type Sales } from "./books"
import type { Phase, Stage } from "./phase"

/** The measurements of the whole story. */
export interface Story {
  readonly phases: Record<"normal" | "concurrent" | "exclusive" | "normalAgain", Phase>
  readonly window: WindowRecord
  /** Sales in the database after all trade had ended, and the branches' total number of commits. */
  readonly finalSales: Sales
  readonly finalCommits: number
}

/** The measurements of the window, from the first resolved `enter()` until just before `leave()`. */
export interface WindowRecord {
  readonly salesAtBegin: Sales
  readonly salesAtEnd: Sales
  /** Number of commits in between, by the branches' count. */
  readonly commits: number
  /** Number of products with a wrong catalog entry after the two rebuilds. */
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
  screen.headline(`2  CONCURRENT · maintenance.enter("concurrent"): other users may only read`, "cyan")
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
