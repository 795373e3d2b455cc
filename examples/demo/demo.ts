// The story of the proposal: a rebuild conflicts with all other writes until there is a maintenance window.
import "reflect-metadata"
import { Branches } from "./branches"
import { keepPanelOpen } from "./control-panel"
import { productCount, stockShop } from "./products"
import { Screen } from "./screen"
import { openShop, type Shop } from "./shop"
import { playStory } from "./story"
import { Surroundings } from "./surroundings"
import { tableOf } from "./table"
import { judge } from "./verdict"

const withinMs = 120_000

/** Thrown when the demo is interrupted. */
class Interruption extends Error {}

/** The shop after the story. */
interface Played {
  readonly isGood: boolean
  readonly shop: Shop
  readonly url: string
}

async function play(screen: Screen, surroundings: Surroundings): Promise<Played> {
  const server = await surroundings.server()
  const url = await surroundings.database(server.url)
  const shop = await openShop(url, true)
  surroundings.atEnd("disconnect", () => shop.dataSource.destroy())
  await stockShop(shop.dataSource)
  const branches = new Branches(url)
  surroundings.atEnd("end the branches", () => branches.end())
  await branches.ready()
  screen.say(
    `A shop with ${productCount} products, on ${server.description}. Its branches, two other\n` +
      `processes, sell and show the catalog all the time. This process rebuilds the\n` +
      `catalog: one serializable transaction that reads all and writes all.`,
  )
  const story = await playStory({ shop, branches, screen })
  const { normal, concurrent, exclusive, normalAgain } = story.phases
  screen.headline("WHAT WAS MEASURED", "bold")
  screen.say(`\n${tableOf([normal, concurrent, exclusive, normalAgain])}\n`)
  const findings = judge(story)
  for (const { isGood, text } of findings) {
    screen.say(screen.paint(`   ${isGood ? "✓" : "✗ FAILED:"} ${text}`, isGood ? "green" : "red"))
  }
  return { isGood: findings.every(({ isGood }) => isGood), shop, url }
}

/** Rejects when the parent process ends or is told to, and when the demo takes far too long. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    process.once("disconnect", () => reject(new Interruption("Interrupted.")))
    setTimeout(() => reject(new Error(`The demo took longer than ${withinMs / 1000} s.`)), withinMs).unref()
  })
}

async function run(): Promise<number> {
  const beganAt = performance.now()
  const screen = new Screen()
  const surroundings = new Surroundings()
  const hasPanel = process.argv.includes("--panel")
  let exitCode = 1
  try {
    const { isGood, shop, url } = await Promise.race([play(screen, surroundings), interruption()])
    exitCode = isGood ? 0 : 1
    if (hasPanel) await keepPanelOpen(shop, url, screen, surroundings)
  } catch (error) {
    if (error instanceof Interruption) exitCode = 130
    screen.close()
    console.error(error instanceof Interruption ? error.message : error)
  }
  screen.close()
  const failures = await surroundings.end()
  for (const failure of failures) console.error(failure)
  if (failures.length > 0) return exitCode || 1
  const seconds = ((performance.now() - beganAt) / 1000).toFixed(0)
  console.log(`\n   Everything is stopped and removed again, after ${seconds} s.`)
  if (!hasPanel) console.log("   To see it in the control panel: npm run demo -- --panel")
  return exitCode
}

void run().then((exitCode) => process.exit(exitCode))
