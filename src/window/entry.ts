import { randomUUID } from "node:crypto"
import { inspect } from "node:util"
import { MaintenanceInputError } from "../errors"
import type { Actor } from "../mode/actor"
import { drainOutcomes } from "../mode/drain-outcome"
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
import { timeText } from "../text"
import type { AnnouncedRequest, Opening, Start } from "../state/opening"
import type { DrainPlan } from "../drain/drain-plan"
import { type DrainOptions, type EnterOptions, enterOptionNames } from "./enter-options"

/** The checked parameters of `enter()`. */
export interface Entry {
  readonly opening: Omit<Opening, "instance">
  readonly plan: DrainPlan
  /** Start of the window. Undefined: at once. */
  readonly start: Start | undefined
  readonly acknowledgeWithinMs: number
  /** Whether a signal to the process ends the window. */
  readonly leaveOnSignal: boolean
  readonly signal: AbortSignal | undefined
}

/** The user and the process that enter a window. */
export interface Enterer {
  readonly actor: Actor
  /** Identifier of the process in windows that are tied to it. */
  readonly lease: string
  /** The `during()` that opens the window, and the one that the call runs within. */
  readonly task?: string | undefined
  readonly withinTask: string | undefined
}

/** Largest share of an expiring window that may be spent on waiting for other users. */
const waitingShare = 0.75

/** Checks and completes the parameters of `enter()`. Throws MaintenanceInputError for invalid ones. */
export function entryOf(
  mode: Mode,
  options: EnterOptions,
  { actor, lease, task, withinTask }: Enterer,
): Entry {
  checkOptions(options, enterOptionNames)
  const graceMs = graceOf(options)
  const expiresInMs = checkExpiry(options.expiresInMs)
  const whole = drainPlanOf(mode, options.drain)
  // If the window ended before the drain did, no error would name the blockers.
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
      outcome: plan.outcome,
    },
    plan,
    start: startOf(options),
    acknowledgeWithinMs: durationOf("acknowledgeWithinMs", options.acknowledgeWithinMs, defaultAcknowledgeMs),
    leaveOnSignal: checkFlag("leaveOnSignal", options.leaveOnSignal),
    signal: checkSignal(options.signal),
  }
}

/** Earliest time that PostgreSQL can store, in milliseconds since 1970. It can store every later Date. */
const firstMs = -2e14

/** The start of a window, or undefined for at once. Throws MaintenanceInputError. */
export function startOf({ startsAt, startsInMs }: EnterOptions): Start | undefined {
  if (startsAt !== undefined && startsInMs !== undefined)
    throw new MaintenanceInputError(
      "The options startsAt and startsInMs exclude each other. Pass only one of them.",
    )
  const inMs = checkExpiry(startsInMs, "startsInMs")
  if (inMs !== undefined) return { inMs }
  const at = checkTime("startsAt", startsAt)
  if (at && at.getTime() < firstMs)
    throw new MaintenanceInputError(`The option startsAt is in the past: ${timeText(at)}. Pass a later time.`)
  return at && { at }
}

/** The expected duration in milliseconds, or undefined. Throws MaintenanceInputError. */
function plannedIn(plannedForMs: unknown, expiresInMs: number | undefined): number | undefined {
  const ms = checkExpiry(plannedForMs, "plannedForMs")
  if (ms !== undefined && expiresInMs !== undefined && ms > expiresInMs) {
    throw new MaintenanceInputError(
      `The option plannedForMs (${ms}) is longer than expiresInMs (${expiresInMs}), so the window would end before its ` +
        "work is done. Pass a shorter plannedForMs or a longer expiresInMs.",
    )
  }
  return ms
}

/** Default time for the instances to acknowledge the mode, in milliseconds. */
const defaultAcknowledgeMs = 5000
/** Default time to wait for in-flight transactions, in milliseconds. */
const defaultDrainMs = 30_000
/** Minimum time that a commit under way is given, in milliseconds. */
const leastCommitMs = 1000
/** Default time for which a window outlives the last sign of its process, in milliseconds. */
const defaultGraceMs = 30_000

/**
 * The silence after which a window tied to its process ends, in milliseconds. Undefined if no process bounds
 * it. Throws MaintenanceInputError.
 */
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
    throw new MaintenanceInputError(`The option then must be "end" or "stay", not ${inspect(then)}.`)
  }
  if (heldWhile === undefined) {
    if (graceMs === undefined && then === "end") return undefined
    throw new MaintenanceInputError(
      'The options graceMs and "then" require heldWhile: "alive". For in-flight transactions, use drain.then.',
    )
  }
  if (heldWhile !== "alive") {
    throw new MaintenanceInputError(
      `The option heldWhile must be "alive" or omitted, not ${inspect(heldWhile)}.`,
    )
  }
  const ms = graceMs ?? defaultGraceMs
  if (typeof ms === "number" && ms >= minExpiryMs && ms <= maxDurationMs) {
    return then === "end" ? ms : undefined
  }
  throw new MaintenanceInputError(
    `The option graceMs must be a number of milliseconds from ${minExpiryMs} to ${maxDurationMs}, not ${inspect(ms)}.`,
  )
}

/** The limit of connections of other users in each instance, or undefined. Throws MaintenanceInputError. */
function readersOf(mode: Mode, value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (mode !== "concurrent")
    throw new MaintenanceInputError(
      "The option readers is for concurrent mode only, because other users cannot read in exclusive mode. Omit it.",
    )
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxDurationMs)
    return value as number
  throw new MaintenanceInputError(
    `The option readers must be a whole number from 1 to ${maxDurationMs}, not ${inspect(value)}.`,
  )
}

/** The drain plan, with the defaults of the mode. Throws MaintenanceInputError. */
function drainPlanOf(mode: Mode, drain: DrainOptions | undefined): DrainPlan {
  const usual = usualPlanOf(mode)
  if (drain === undefined) return usual
  checkOptions(drain, ["withinMs", "then"], "drain")
  const { then: outcome = usual.outcome } = drain
  if (!drainOutcomes.includes(outcome)) {
    throw new MaintenanceInputError(
      `The option drain.then must be one of ${drainOutcomes.join(", ")}, not ${inspect(outcome)}.`,
    )
  }
  const withinMs = durationOf("drain.withinMs", drain.withinMs, defaultDrainMs)
  // An explicit `proceed` means to wait without limit.
  const isEndless = drain.then === "proceed"
  return {
    withinMs,
    outcome,
    commitsWithinMs: isEndless ? Number.POSITIVE_INFINITY : Math.max(withinMs, leastCommitMs),
  }
}

/**
 * The drain plan for an announced window that begins `lateMs` late: the stored one of `drainOfEntry()`, or
 * the usual one.
 */
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

/** A drain plan as it is stored in the database, where null means no limit. */
export interface DrainOfEntry extends Omit<DrainPlan, "commitsWithinMs"> {
  readonly commitsWithinMs: number | null
  readonly acknowledgeWithinMs: number
}

/** The drain plan to store for the process that begins the window. */
export function drainOfEntry({ plan, acknowledgeWithinMs }: Entry): DrainOfEntry {
  const { withinMs, outcome, commitsWithinMs } = plan
  const isEndless = commitsWithinMs === Number.POSITIVE_INFINITY
  return { withinMs, outcome, commitsWithinMs: isEndless ? null : commitsWithinMs, acknowledgeWithinMs }
}

/** The drain plan of a mode when no option is given. */
export function usualPlanOf(mode: Mode): DrainPlan {
  return mode === "exclusive"
    ? { withinMs: defaultDrainMs, outcome: "abandon", commitsWithinMs: defaultDrainMs }
    : commitsOnly(defaultDrainMs)
}

/** A plan that waits only for commits under way. In concurrent mode, vetoes cover the rest. */
export function commitsOnly(commitsWithinMs = defaultDrainMs): DrainPlan {
  return { withinMs: 0, outcome: "proceed", commitsWithinMs }
}

/** The same plan with its limits reduced to `longestMs`. A wait without limit stays without limit. */
function shortened({ withinMs, outcome, commitsWithinMs }: DrainPlan, longestMs: number): DrainPlan {
  return {
    withinMs: Math.min(withinMs, longestMs),
    outcome,
    commitsWithinMs: Number.isFinite(commitsWithinMs)
      ? Math.min(commitsWithinMs, longestMs)
      : commitsWithinMs,
  }
}
