import { setTimeout as pause } from "node:timers/promises"
import type { DrainOutcome, EnterOptions } from "../../src"
import type { Dice } from "./dice"
import { emergencyUser } from "./ledger"
import type { Operator, Window } from "./operator"

const outcomes: readonly DrainOutcome[] = ["proceed", "cancel", "terminate", "abandon"]

function modeOf(dice: Dice): Window {
  return dice.pick(["concurrent", "concurrent", "exclusive"])
}

/** Chooses a mode and its options, always with the same number of decisions. */
function entryOf(dice: Dice): [Window, EnterOptions] {
  const mode = modeOf(dice)
  const drain = { withinMs: dice.between(0, 3000), then: dice.pick(outcomes) }
  const readers = dice.between(1, 3)
  const isBounded = dice.chance(0.3)
  const options = {
    ...(dice.chance(0.5) ? { drain } : {}),
    ...(mode === "concurrent" && isBounded ? { readers } : {}),
    acknowledgeWithinMs: dice.pick([100, 1000, 5000, 10_000]),
  }
  return [mode, options]
}

/** Actions on a user's own window while it is held. Each resolves with the user who may leave it. */
const turns: Record<string, (operator: Operator) => Promise<string>> = {
  none: (operator) => Promise.resolve(operator.user),
  extend: async (operator) => {
    await operator.extend(operator.dice.between(4000, 8000))
    return operator.user
  },
  "switch the mode": async (operator) => {
    await operator.enter(...entryOf(operator.dice))
    return operator.user
  },
  "a task within": async (operator) => {
    await operator.during(...entryOf(operator.dice), () => operator.hold(0, 800))
    return operator.user
  },
  transfer: async (operator) => {
    const to = operator.user === "alice" ? "bob" : "alice"
    return (await operator.transfer(to)) ? to : operator.user
  },
}

/** The activities of a maintainer, each complete from beginning to end. */
export const spells = {
  async window(operator) {
    if (!(await operator.enter(...entryOf(operator.dice)))) return
    await operator.hold(0, 1000)
    await operator.status()
    const holder = await (turns[operator.dice.pick(Object.keys(turns))] as (typeof turns)[string])(operator)
    await operator.hold(0, 1000, holder)
    await operator.leave(holder)
    await operator.status()
  },

  async during(operator) {
    const { dice } = operator
    const as = dice.chance(0.2) ? emergencyUser : operator.user
    const [mode, options] = entryOf(dice)
    await operator.during(mode, { ...options, as }, () => operator.hold(0, 1500, as))
  },

  async "tied to this process"(operator) {
    const { dice } = operator
    const graceMs = dice.between(1500, 2500)
    const [mode, options] = entryOf(dice)
    if (!(await operator.enter(mode, { ...options, heldWhile: "alive", graceMs }, { graceMs }))) return
    if (dice.chance(0.5)) {
      const [innerMode, inner] = entryOf(dice)
      const end = dice.chance(0.5) ? { expiresInMs: 10_000 } : {}
      await operator.during(innerMode, { ...inner, ...end }, () => operator.hold(500, 3000))
    }
    await operator.hold(2000, 5000)
    await operator.leave()
  },

  async expiring(operator) {
    const { dice } = operator
    const expiresInMs = dice.between(1000, 3000)
    const [mode, options] = entryOf(dice)
    if (!(await operator.enter(mode, { ...options, expiresInMs }))) return
    await operator.hold(0, 4000)
    await operator.status()
  },

  async "taken over"(operator) {
    const { dice } = operator
    const [mode, options] = entryOf(dice)
    if (!(await operator.enter(mode, { ...options, as: emergencyUser }))) return
    await operator.hold(0, 1000, emergencyUser)
    await operator.leave(emergencyUser)
  },

  async "broken off"(operator) {
    const { dice } = operator
    const afterMs = dice.between(0, 3000)
    const signal = AbortSignal.timeout(afterMs)
    const abortedAt = Date.now() + afterMs
    const [mode, options] = entryOf(dice)
    const drain = { withinMs: dice.between(0, 5000), then: dice.pick(outcomes) }
    const startsInMs = dice.between(1000, 2000)
    const start = dice.chance(0.3) ? { startsInMs } : {}
    if (!(await operator.enter(mode, { ...options, ...start, drain, signal }, { abortedAt }))) return
    await operator.hold(0, 500)
    await operator.leave()
  },

  async announced(operator) {
    const { dice } = operator
    const [mode, options] = entryOf(dice)
    if (!(await operator.enter(mode, { ...options, startsInMs: dice.between(1000, 2500) }))) return
    await operator.hold(0, 1000)
    await operator.leave()
  },

  async "announced for others"(operator) {
    const { dice } = operator
    const [mode, options] = entryOf(dice)
    const startsInMs = dice.between(1000, 4000)
    const expiresInMs = dice.between(3000, 6000)
    const isLastAct = dice.chance(0.5)
    if (!(await operator.announce(mode, { ...options, startsInMs, expiresInMs }, isLastAct))) return
    await pause(startsInMs + dice.between(0, 2000))
    await operator.status()
  },

  async "left to itself"(operator) {
    await operator.enter(...entryOf(operator.dice))
    await pause(operator.dice.between(0, 2000))
  },
} satisfies Record<string, (operator: Operator) => Promise<void>>
