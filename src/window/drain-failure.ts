import type { Draining, DrainOutcome, DrainPlan } from "../drain/drain-plan"
import { graceMs } from "../drain/drain-stages"
import type { Tell } from "../drain/draining-feed"
import { DrainTimeoutError } from "../errors"
import { type Blocker, describeBlocker } from "../mode/blocker"
import type { ResolvedOptions } from "../options"
import { capitalized } from "../refusal"
import type { Opening } from "../state/opening"

/** Maximum number of blockers that a message names. */
const maxNamed = 10

/** The facts of a window that messages mention. */
export type Wanted = Pick<Opening, "mode" | "actor" | "reason">

/** The window that a call waits for. */
export interface Waited extends Wanted {
  readonly call: string
  /** Reports progress to the iterators that follow the call. */
  readonly tell: Tell
}

/** A drain plan, and whether messages show the SQL of the blockers. */
export type Told = DrainPlan & Pick<ResolvedOptions, "showsQueries">

/** The warning for a drain that has been waiting for some time. */
export function stillWaiting(draining: Draining, waited: Waited, plan: Told): string {
  const { mode, actor, reason, call } = waited
  const who = `${actor.user}${reason ? `: ${reason}` : ""}`
  return (
    `${capitalized(mode)} mode (${who}) holds; ${call} has waited ${howLong(draining, plan)}, for:` +
    linesOf(draining.blockers, plan.showsQueries)
  )
}

/** States the time waited, the limit, and what happens then. A limit too long to matter is left out. */
function howLong({ waitedMs }: Draining, { withinMs, outcome, commitsWithinMs }: DrainPlan): string {
  const waited = inWords(waitedMs)
  if (outcome === "proceed" && waitedMs >= withinMs && commitsWithinMs <= longestToldMs) {
    return `${waited} of ${inWords(commitsWithinMs)}, then ${consequences.abandon}, as these can be refused no more`
  }
  if (waitedMs < withinMs) {
    return withinMs > longestToldMs
      ? waited
      : `${waited} of ${inWords(withinMs)}, then ${consequences[outcome]}`
  }
  return outcome === "proceed"
    ? `${waited}, and goes on, as these can be refused no more`
    : `${waited}: after ${inWords(withinMs)} it ${consequences[outcome]}`
}

const consequences: Readonly<Record<DrainOutcome, string>> = {
  proceed: "proceeds",
  cancel: `cancels them, and abandons ${graceMs / 1000} s later`,
  terminate: `terminates them, and abandons ${graceMs / 1000} s later`,
  abandon: "abandons",
}

/** Longest limit that messages mention, in milliseconds. A longer one counts as no limit. */
const longestToldMs = 24 * 3600 * 1000

function inWords(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 600_000) return `${Math.round(ms / 1000)} s`
  return `${Math.round(ms / 60_000)} min`
}

/** The error for a mode that was not entered because transactions are still open. */
export function drainTimedOut(
  blockers: readonly Blocker[],
  plan: Told,
  { mode, actor, reason }: Wanted,
): DrainTimeoutError {
  return new DrainTimeoutError(
    `Mode not changed: ${actor.user} was entering ${mode} mode${reason ? ` (${reason})` : ""}, but ${whoIsLeft(blockers, plan)}; ` +
      `the mode is what it was before.${linesOf(blockers, plan.showsQueries)}\n${adviceOn(blockers, plan.outcome)}`,
    { mode, maintainer: actor.user, reason, blockers },
  )
}

/** The error for a window that was handed over while commits of its former maintainer are still under way. */
export function stillCommitting(
  blockers: readonly Blocker[],
  plan: Told,
  { mode, actor, reason }: Wanted,
): DrainTimeoutError {
  return new DrainTimeoutError(
    `${actor.user} holds the ${mode} maintenance now${reason ? ` (${reason})` : ""}, but ${whoIsLeft(blockers, plan)}.` +
      `${linesOf(blockers, plan.showsQueries)}\nEnd ${them(blockers)}, or enter ${mode} mode again as ${actor.user}, which waits for ${them(blockers)}.`,
    { mode, maintainer: actor.user, reason, blockers },
  )
}

/**
 * The error for a finished task whose restored, stricter window still waits for transactions begun during the
 * task.
 */
export function stillOpen(
  blockers: readonly Blocker[],
  plan: Told,
  { mode, actor, reason }: Wanted,
): DrainTimeoutError {
  return new DrainTimeoutError(
    `The task is done, and ${mode} mode of ${actor.user}${reason ? ` (${reason})` : ""} is in force again, but ` +
      `${whoIsLeft(blockers, plan)}. What the task has committed is stored.${linesOf(blockers, plan.showsQueries)}\n` +
      `End ${them(blockers)}, or enter ${mode} mode again as ${actor.user}, with drain.then: "terminate", or "proceed", ` +
      `which leaves ${them(blockers)} to be refused.`,
    { mode, maintainer: actor.user, reason, blockers },
  )
}

/** A clause that counts the transactions still open when the time is over. */
function whoIsLeft(blockers: readonly Blocker[], { withinMs, outcome, commitsWithinMs }: DrainPlan): string {
  const count = `${blockers.length} transaction${blockers.length === 1 ? "" : "s"} of others`
  const [were, they] = blockers.length === 1 ? ["was", "it was"] : ["were", "they were"]
  const toBe = blockers.some(({ cannotEnd }) => cannotEnd) ? "to be " : ""
  switch (outcome) {
    case "proceed":
      return `after ${inWords(commitsWithinMs)} ${count}, whose check had passed before, ${were} still open`
    case "abandon":
      return `after ${inWords(withinMs)} ${count} ${were} still open`
    default:
      return `${count} ${were} still open ${graceMs / 1000} s after ${they} ${toBe}${outcome === "cancel" ? "cancelled" : "terminated"}`
  }
}

function them({ length }: readonly Blocker[]): string {
  return length === 1 ? "it" : "them"
}

/** Advice on the transactions that are still open. */
function adviceOn(blockers: readonly Blocker[], outcome: DrainOutcome): string {
  if (outcome === "proceed") return adviceOnCommits(blockers)
  const it = them(blockers)
  const isIdle = blockers.some(({ state }) => state?.startsWith("idle in transaction"))
  // For a session, `cannotEnd` means that PostgreSQL denied ending it.
  const isForbidden = blockers.some(({ pid, cannotEnd }) => pid !== undefined && cannotEnd)
  const terminate = blockers.every(isPrepared) ? "" : '"terminate", or '
  const sentences = [
    outcome === "cancel" &&
      isIdle &&
      'A cancel does not end a session that is idle in a transaction: use drain.then: "terminate", or end it by hand.',
    isForbidden &&
      `To ${outcome} ${it}, enter as a role that is a member of pg_signal_backend, or as a superuser, if it is one's session.`,
    blockers.some(isPrepared) &&
      "A prepared transaction is ended by COMMIT PREPARED or ROLLBACK PREPARED alone.",
    isEnding(outcome)
      ? `End ${it} by hand, or leave ${it} to be refused (drain.then: "proceed").`
      : `End ${it}, wait longer (drain.withinMs), or say what to do with what is left (drain.then: ${terminate}` +
        `"proceed", which leaves ${it} to be refused).`,
    ...exceptionsTo(blockers),
  ]
  return sentences.filter(Boolean).join(" ")
}

/** Advice on commits under way, which can no longer be refused. */
function adviceOnCommits(blockers: readonly Blocker[]): string {
  const it = them(blockers)
  const sentences = [
    blockers.some(isPrepared) &&
      "A prepared transaction is ended by COMMIT PREPARED or ROLLBACK PREPARED alone.",
    `Nothing refuses ${it} any more. End ${it} by hand, or by drain.then: "terminate"; wait longer (drain.withinMs), or as long ` +
      'as it takes (drain.then: "proceed").',
  ]
  return sentences.filter(Boolean).join(" ")
}

/**
 * Sentences on the blockers that the plugin does not refuse. Behind a pooler, a session without an instance
 * may still have the plugin.
 */
function exceptionsTo(blockers: readonly Blocker[]): (string | false)[] {
  return [
    blockers.some((blocker) => !blocker.instance && !isPrepared(blocker)) &&
      "But a session for which no process is named may have no plugin: then it is not refused, and may still commit.",
    blockers.some(isPrepared) && "But a prepared transaction is not refused: it may still commit.",
  ]
}

function isPrepared({ pid }: Blocker): boolean {
  return pid === undefined
}

/** Whether the outcome ends the remaining transactions before the window is abandoned. */
function isEnding(outcome: DrainOutcome): outcome is "cancel" | "terminate" {
  return outcome === "cancel" || outcome === "terminate"
}

function linesOf(blockers: readonly Blocker[], showsQueries: boolean): string {
  const named = blockers.slice(0, maxNamed).map((blocker) => `\n- ${describeBlocker(blocker, showsQueries)}`)
  const more = blockers.length > maxNamed ? `\n- and ${blockers.length - maxNamed} more` : ""
  return `${named.join("")}${more}`
}
