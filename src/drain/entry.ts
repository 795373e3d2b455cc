import { randomUUID } from "node:crypto"
import { inspect } from "node:util"
import { MaintenanceInputError } from "../errors"
import type { Actor, Mode } from "../mode/mode"
import {
  checkExpiry,
  checkOptions,
  checkReason,
  checkSignal,
  drainPlanOf,
  durationOf,
  graceOf,
  readersOf,
} from "../options"
import type { Opening, Start } from "../state/switching"
import type { DrainPlan } from "./drain"
import { type EnterOptions, enterOptionNames } from "./enter-options"

/** What `enter()` is asked for, checked. */
export interface Entry {
  readonly opening: Omit<Opening, "instance">
  readonly plan: DrainPlan
  /** When it is to begin, if not now. */
  readonly start: Start | undefined
  readonly acknowledgeWithinMs: number
  readonly signal: AbortSignal | undefined
}

/** For whom a mode is entered, and in which process. */
export interface Enterer {
  readonly actor: Actor
  /** Names the process in the windows that are tied to it. */
  readonly lease: string
  /** The `during` that the window is opened for, and the one that it is called within. */
  readonly task?: string | undefined
  readonly withinTask: string | undefined
}

/** What `enter()` is asked for; throws MaintenanceInputError for what makes no sense. */
export function entryOf(
  mode: Mode,
  options: EnterOptions,
  { actor, lease, task, withinTask }: Enterer,
): Entry {
  checkOptions(options, enterOptionNames)
  const graceMs = graceOf(options)
  const plan = drainPlanOf(mode, options.drain)
  return {
    opening: {
      id: randomUUID(),
      mode,
      actor,
      reason: checkReason(options.reason),
      task,
      withinTask,
      terms: {
        expiresInMs: checkExpiry(options.expiresInMs),
        lease: graceMs === undefined ? undefined : lease,
        graceMs,
        readers: readersOf(mode, options.readers),
      },
      withinMs: plan.withinMs,
    },
    plan,
    start: startOf(options),
    acknowledgeWithinMs: durationOf("acknowledgeWithinMs", options.acknowledgeWithinMs, 5000),
    signal: checkSignal(options.signal),
  }
}

/** When it is to begin, or undefined for at once; throws MaintenanceInputError. */
export function startOf({ startsAt, startsInMs }: EnterOptions): Start | undefined {
  if (startsAt !== undefined && startsInMs !== undefined)
    throw new MaintenanceInputError("The options startsAt and startsInMs say the same: give one of them.")
  const inMs = checkExpiry(startsInMs, "startsInMs")
  if (inMs !== undefined) return { inMs }
  if (startsAt === undefined) return undefined
  if (startsAt instanceof Date && !Number.isNaN(startsAt.getTime())) return { at: startsAt }
  throw new MaintenanceInputError(`The option startsAt is a valid Date; this one is ${inspect(startsAt)}.`)
}
