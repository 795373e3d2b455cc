import { randomUUID } from "node:crypto"
import { inspect } from "node:util"
import { MaintenanceInputError } from "../errors"
import type { Actor } from "../mode/actor"
import type { Mode } from "../mode/mode"
import {
  checkExpiry,
  checkFlag,
  checkMessage,
  checkOptions,
  checkReason,
  checkSignal,
  checkTime,
  durationOf,
  maxDurationMs,
  minExpiryMs,
} from "../input"
import type { AnnouncedRequest, Opening, Start } from "../state/opening"
import { drainOutcomes, type DrainPlan } from "../drain/drain"
import { type DrainOptions, type EnterOptions, enterOptionNames } from "./enter-options"

/** What `enter()` is asked for, checked. */
export interface Entry {
  readonly opening: Omit<Opening, "instance">
  readonly plan: DrainPlan
  /** When it is to begin, if not now. */
  readonly start: Start | undefined
  readonly acknowledgeWithinMs: number
  /** Whether a signal to the process ends it, too. */
  readonly leaveOnSignal: boolean
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

/** How much of a window that ends by itself others are waited for at most. */
const waitingShare = 0.75

/** What `enter()` is asked for; throws MaintenanceInputError for what makes no sense. */
export function entryOf(
  mode: Mode,
  options: EnterOptions,
  { actor, lease, task, withinTask }: Enterer,
): Entry {
  checkOptions(options, enterOptionNames)
  const graceMs = graceOf(options)
  const expiresInMs = checkExpiry(options.expiresInMs)
  const whole = drainPlanOf(mode, options.drain)
  // A window that ends before others have been waited for would say nothing of who they are.
  const plan = expiresInMs === undefined ? whole : shortened(whole, expiresInMs * waitingShare)
  return {
    opening: {
      id: randomUUID(),
      mode,
      actor,
      reason: checkReason(options.reason),
      message: checkMessage(options.message),
      task,
      withinTask,
      terms: {
        expiresInMs,
        plannedInMs: plannedIn(options.plannedForMs, expiresInMs),
        lease: graceMs === undefined ? undefined : lease,
        graceMs,
        unties: options.heldWhile !== undefined && graceMs === undefined,
        readers: readersOf(mode, options.readers),
      },
      withinMs: plan.withinMs,
    },
    plan,
    start: startOf(options),
    acknowledgeWithinMs: durationOf("acknowledgeWithinMs", options.acknowledgeWithinMs, defaultAcknowledgeMs),
    leaveOnSignal: checkFlag("leaveOnSignal", options.leaveOnSignal),
    signal: checkSignal(options.signal),
  }
}

/** A time that PostgreSQL can hold, in milliseconds since 1970; it can hold any later one of a Date. */
const firstMs = -2e14

/** When it is to begin, or undefined for at once; throws MaintenanceInputError. */
export function startOf({ startsAt, startsInMs }: EnterOptions): Start | undefined {
  if (startsAt !== undefined && startsInMs !== undefined)
    throw new MaintenanceInputError("The options startsAt and startsInMs say the same: give one of them.")
  const inMs = checkExpiry(startsInMs, "startsInMs")
  if (inMs !== undefined) return { inMs }
  const at = checkTime("startsAt", startsAt)
  if (at && at.getTime() < firstMs)
    throw new MaintenanceInputError(`The option startsAt is past: ${at.toISOString()}.`)
  return at && { at }
}

/** In how many milliseconds the maintainer expects to be done, or undefined; throws MaintenanceInputError. */
function plannedIn(plannedForMs: unknown, expiresInMs: number | undefined): number | undefined {
  const ms = checkExpiry(plannedForMs, "plannedForMs")
  if (ms !== undefined && expiresInMs !== undefined && ms > expiresInMs) {
    throw new MaintenanceInputError(
      `The option plannedForMs (${ms}) is longer than expiresInMs (${expiresInMs}): the window would end before its work is done.`,
    )
  }
  return ms
}

/** How long the instances may take to say that they know the mode. */
const defaultAcknowledgeMs = 5000
/** How long others are waited for, in milliseconds. */
const defaultDrainMs = 30_000
/** How long a commit may take at least that is under way. */
const leastCommitMs = 1000
/** How long a window goes on after the process that it is tied to was heard of last, by default. */
const defaultGraceMs = 30_000

/** After how long a window ends whose process is gone; undefined if it is tied to none. Throws MaintenanceInputError. */
function graceOf({
  heldWhile,
  graceMs,
  then = "end",
}: {
  heldWhile?: unknown
  graceMs?: unknown
  then?: unknown
}): number | undefined {
  if (then !== "end" && then !== "stay") {
    throw new MaintenanceInputError(`The option then is "end" or "stay"; this one is ${inspect(then)}.`)
  }
  if (heldWhile === undefined) {
    if (graceMs === undefined && then === "end") return undefined
    throw new MaintenanceInputError(
      'The options graceMs and then make sense with heldWhile: "alive" only; what others have running is drain.then.',
    )
  }
  if (heldWhile !== "alive") {
    throw new MaintenanceInputError(
      `The option heldWhile is "alive", or not given; this one is ${inspect(heldWhile)}.`,
    )
  }
  const ms = graceMs ?? defaultGraceMs
  if (typeof ms === "number" && ms >= minExpiryMs && ms <= maxDurationMs) {
    return then === "end" ? ms : undefined
  }
  throw new MaintenanceInputError(
    `The option graceMs is a number of milliseconds from ${minExpiryMs} to ${maxDurationMs}; this one is ${inspect(ms)}.`,
  )
}

/** How many connections of an instance others may use, or undefined; throws MaintenanceInputError. */
function readersOf(mode: Mode, value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (mode !== "concurrent")
    throw new MaintenanceInputError(
      "The option readers makes sense in concurrent mode only: in exclusive mode nobody else reads.",
    )
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxDurationMs)
    return value as number
  throw new MaintenanceInputError(
    `The option readers is a whole number from 1 up; this one is ${inspect(value)}.`,
  )
}

/** How a mode is entered, with the defaults of that mode; throws MaintenanceInputError. */
function drainPlanOf(mode: Mode, drain: DrainOptions | undefined): DrainPlan {
  const usual = usualPlanOf(mode)
  if (drain === undefined) return usual
  checkOptions(drain, ["withinMs", "then"], "drain")
  const { then: outcome = usual.outcome } = drain
  if (!drainOutcomes.includes(outcome)) {
    throw new MaintenanceInputError(
      `The option drain.then is one of ${drainOutcomes.join(", ")}; this one is ${inspect(outcome)}.`,
    )
  }
  const withinMs = durationOf("drain.withinMs", drain.withinMs, defaultDrainMs)
  // Who says so wants no other end.
  const isEndless = drain.then === "proceed"
  return {
    withinMs,
    outcome,
    commitsWithinMs: isEndless ? Number.POSITIVE_INFINITY : Math.max(withinMs, leastCommitMs),
  }
}

/** How a window is drained that was announced, by whoever begins it so much later: what `drainOfEntry` has made of it, or as is usual. */
export function announcedDrainOf(
  { mode, expires_in_ms: expiresInMs, drain }: AnnouncedRequest,
  lateMs: number,
): { plan: DrainPlan; acknowledgeWithinMs: number } {
  const { acknowledgeWithinMs = defaultAcknowledgeMs, ...said } = (drain ?? {}) as Partial<DrainOfEntry>
  const usual = usualPlanOf(mode)
  const { withinMs = usual.withinMs, outcome = usual.outcome, commitsWithinMs = usual.commitsWithinMs } = said
  const whole = { withinMs, outcome, commitsWithinMs: commitsWithinMs ?? Number.POSITIVE_INFINITY }
  const leftMs = expiresInMs === undefined ? undefined : Math.max(0, expiresInMs - lateMs)
  const plan = leftMs === undefined ? whole : shortened(whole, leftMs * waitingShare)
  return { plan, acknowledgeWithinMs }
}

/** The same for the database; without an end is null there. */
export interface DrainOfEntry extends Omit<DrainPlan, "commitsWithinMs"> {
  readonly commitsWithinMs: number | null
  readonly acknowledgeWithinMs: number
}

/** How a window is drained, for whoever begins it. */
export function drainOfEntry({ plan, acknowledgeWithinMs }: Entry): DrainOfEntry {
  const { withinMs, outcome, commitsWithinMs } = plan
  const isEndless = commitsWithinMs === Number.POSITIVE_INFINITY
  return { withinMs, outcome, commitsWithinMs: isEndless ? null : commitsWithinMs, acknowledgeWithinMs }
}

/** How a mode is entered if nothing is said of that. */
export function usualPlanOf(mode: Mode): DrainPlan {
  return mode === "exclusive"
    ? { withinMs: defaultDrainMs, outcome: "abandon", commitsWithinMs: defaultDrainMs }
    : commitsOnly(defaultDrainMs)
}

/** Waits for commits under way only: in concurrent mode vetoes will do for the rest. */
export function commitsOnly(commitsWithinMs = defaultDrainMs): DrainPlan {
  return { withinMs: 0, outcome: "proceed", commitsWithinMs }
}

/** The same plan, which waits no longer than so; what is to be waited for without an end, is. */
function shortened({ withinMs, outcome, commitsWithinMs }: DrainPlan, longestMs: number): DrainPlan {
  return {
    withinMs: Math.min(withinMs, longestMs),
    outcome,
    commitsWithinMs: Number.isFinite(commitsWithinMs)
      ? Math.min(commitsWithinMs, longestMs)
      : commitsWithinMs,
  }
}
