import { type Phase, runPhase, type Stage } from "./phase"
import { describeEnd, newRebuild, rebuildCatalog } from "./rebuild"
import { Product, type Shop } from "./shop"

const maintainer = "alice"
const reason = "rebuild the catalog"

/** The guarantees for other users, in force once `enter()` has resolved. */
const promises = {
  concurrent: "no write of anybody else commits",
  exclusive: "nobody else gets a connection",
}

/** Plays normal mode: all users write, and the rebuild does not finish. */
export async function playNormal(stage: Stage): Promise<Phase> {
  const { shop, screen } = stage
  screen.headline("1  NORMAL · everybody sells while the catalog is rebuilt", "yellow")
  const rebuild = newRebuild()
  const work = () => rebuildCatalog(shop.maintenance, rebuild, 12_000)
  const phase = await runPhase(stage, { name: "normal", seconds: 12, rebuild, work })
  sayOutcome(stage, describeEnd(rebuild), rebuild.finishedInMs !== undefined)
  return phase
}

/** Plays concurrent mode: other users read, their writes are vetoed, and the same rebuild finishes. */
export async function playConcurrent(stage: Stage): Promise<Phase> {
  const { shop } = stage
  const rebuild = newRebuild()
  const work = () => asMaintainer(shop, () => rebuildCatalog(shop.maintenance, rebuild, 20_000))
  const phase = await runPhase(stage, { name: "concurrent", seconds: 8, rebuild, work })
  sayOutcome(stage, describeEnd(rebuild), rebuild.finishedInMs !== undefined)
  return phase
}

/**
 * Plays exclusive mode: other users get nothing, while the maintainer changes the prices and rebuilds again.
 */
export async function playExclusive(stage: Stage): Promise<Phase> {
  const { shop } = stage
  const rebuild = newRebuild()
  let repriced: number | undefined
  const work = () =>
    asMaintainer(shop, async () => {
      repriced = await raisePrices(shop)
      await rebuildCatalog(shop.maintenance, rebuild, 20_000)
    })
  const phase = await runPhase(stage, { name: "exclusive", seconds: 6, rebuild, work })
  const outcome = `${maintainer} raised ${repriced} prices; ${describeEnd(rebuild)}`
  sayOutcome(stage, outcome, rebuild.finishedInMs !== undefined)
  return phase
}

/** Plays normal mode again, after the window. */
export async function playNormalAgain(stage: Stage): Promise<Phase> {
  const { shop, screen } = stage
  screen.headline(`4  NORMAL AGAIN · maintenance.leave({ as: "${maintainer}" })`, "green")
  await shop.maintenance.leave({ as: maintainer })
  return runPhase(stage, { name: "normal again", seconds: 5 })
}

/** Switches the mode, and prints how long that took. */
export async function enter({ shop, screen }: Stage, mode: keyof typeof promises): Promise<void> {
  const beganAt = performance.now()
  await shop.maintenance.enter(mode, { as: maintainer, reason })
  const tookMs = (performance.now() - beganAt).toFixed(1)
  screen.say(`   enter() took ${tookMs} ms. From here on ${promises[mode]}.`)
}

/** Runs work as the maintainer, whom the window does not restrict. */
export function asMaintainer<T>({ maintenance }: Shop, work: () => Promise<T>): Promise<T> {
  return maintenance.runAs(maintainer, work)
}

async function raisePrices({ dataSource }: Shop): Promise<number> {
  const raise = dataSource
    .createQueryBuilder()
    .update(Product)
    .set({ priceInCents: () => `"priceInCents" + 25` })
  return (await raise.execute()).affected ?? 0
}

function sayOutcome({ screen }: Stage, outcome: string, isGood: boolean): void {
  screen.say(screen.paint(`   ${isGood ? "✓" : "✗"} ${outcome}`, isGood ? "green" : "red"))
}
