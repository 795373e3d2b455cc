// A separate process: a branch of the shop, in which customers browse and clerks sell all the time.
import "reflect-metadata"
import { setTimeout as pause } from "node:timers/promises"
import type { Order, Answer } from "./branches"
import { openShop } from "./shop"
import { countFailure, newTally, type Tally } from "./tally"
import { browse, sell } from "./trade"

const thinkMs = 8
const clerks = 2
const customers = 2
/** Maximum lifetime of a branch, in milliseconds, in case nothing closes it. */
const lifetimeMs = Number(process.env["SHOP_MINUTES"]) * 60_000

const name = process.argv[2] ?? "nameless"
const url = process.env["SHOP_URL"] ?? ""
const underWay = new Set<Promise<void>>()
let tally = newTally()
let tallyBeganAt = performance.now()
const closing = new AbortController()

/** Sends an answer to the parent process, if that still exists. */
function answer(content: Answer): void {
  if (process.connected) process.send?.(content, undefined, undefined, () => undefined)
}

/** Performs one action. It counts in the tally that was current when it began. */
async function once(success: "reads" | "commits", work: () => Promise<void>): Promise<void> {
  const current = tally
  const beganAt = process.hrtime.bigint()
  try {
    await work()
    current[success]++
  } catch (error) {
    countFailure(current, error, Number(process.hrtime.bigint() - beganAt) / 1000)
  }
}

async function keepDoing(success: "reads" | "commits", work: () => Promise<void>): Promise<void> {
  while (!closing.signal.aborted && performance.now() < lifetimeMs) {
    const doing = once(success, work)
    underWay.add(doing)
    await doing.finally(() => underWay.delete(doing))
    await pause(thinkMs * (0.5 + Math.random()))
  }
}

/** Begins a new tally. Resolves with the previous one, once all actions that began in it have ended. */
async function nextTally(): Promise<Tally> {
  const finished = { tally, seconds: secondsOfTally() }
  tally = newTally()
  tallyBeganAt = performance.now()
  await Promise.allSettled(underWay)
  return { ...finished.tally, seconds: finished.seconds }
}

function secondsOfTally(): number {
  return (performance.now() - tallyBeganAt) / 1000
}

async function obey({ id, what }: Order): Promise<void> {
  if (what === "peek") {
    answer({ id, tally: { ...tally, seconds: secondsOfTally(), refusalMicroseconds: [] } })
    return
  }
  if (what === "close") closing.abort()
  answer({ id, tally: await nextTally() })
}

async function trade(): Promise<void> {
  const shop = await openShop(url)
  process.on("message", (order: Order) => void obey(order))
  answer({ isOpen: true })
  await Promise.all([
    ...Array.from({ length: clerks }, () => keepDoing("commits", () => sell(shop, name))),
    ...Array.from({ length: customers }, () => keepDoing("reads", () => browse(shop))),
  ])
  await shop.dataSource.destroy()
}

process.on("disconnect", () => process.exit())
trade().catch((error: unknown) => {
  closing.abort()
  answer({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) })
})
