// A separate process that enters and leaves in every way, at random, until it is told to stop.
import "reflect-metadata"
import { setTimeout as pause } from "node:timers/promises"
import { Dice } from "./dice"
import { tell, type ToMaintainer } from "./messages"
import { Operator } from "./operator"
import { spells } from "./spells"
import { keepAlive } from "./worker-life"

/** The frequency of each spell. */
const weights: Record<keyof typeof spells, number> = {
  window: 8,
  during: 4,
  "tied to this process": 3,
  expiring: 2,
  announced: 2,
  "announced for others": 2,
  "taken over": 2,
  "broken off": 3,
  "left to itself": 1,
}

async function main(): Promise<void> {
  const [name = "", url = "", direct = "", seed = "0"] = process.argv.slice(2)
  const dice = new Dice(Number(seed))
  const operator = new Operator(name, { url, direct, dice })
  let isStopped = false
  process.on("message", (message: ToMaintainer) => {
    if (message === "stop") isStopped = true
    else operator.audited(message.audited)
  })
  await operator.open()
  tell("ready")
  while (!isStopped) {
    await pause(dice.between(100, 1500))
    await operator.tidyUp()
    await spells[dice.weighted(weights)](operator)
  }
  await operator.close()
  process.disconnect()
}

keepAlive()
void main()
