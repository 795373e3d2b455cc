import type { Draining, DrainPlan } from "../drain/drain-plan"
import { graceMs } from "../drain/drain-stages"
import type { ReportDraining } from "../drain/draining-feed"
import { DrainTimeoutError } from "../errors"
import { type Blocker, describeBlocker } from "../mode/blocker"
import type { DrainOutcome } from "../mode/drain-outcome"
import type { ResolvedOptions } from "../options"
import { capitalized } from "../refusal"
import type { Opening } from "../state/opening"
import { lineBreak } from "../text"

/** Maximum number of blockers that a message names. */
const maxNamed = 10

/** The facts of a window that errors mention. */
export type Wanted = Pick<Opening, "mode" | "actor" | "reason" | "message">

/** The window that a call waits for. */
export interface Waited extends Wanted {
  readonly call: string
  /** Whether the window is abandoned if the drain fails. A restored or handed over window stays. */
  readonly isEntering: boolean
  /** Reports progress to the iterators that follow the call. */
  readonly report: ReportDraining
}

/** A drain plan, and whether messages show the SQL of the blockers. */
export type ReportedPlan = DrainPlan & Pick<ResolvedOptions, "showsQueries">

/** The warning for a drain that has been waiting for some time. */
export function stillWaiting(draining: Draining, waited: Waited, plan: ReportedPlan): string {
  const { mode, actor, reason, call } = waited
  const who = `${actor.user}${reason ? `: ${reason}` : ""}`
  return (
    `${capitalized(mode)} mode (${who}) is in force, and ${call} has waited ${inWords(draining.waitedMs)} ` +
    `for these transactions.${whatNext(draining, plan, waited)}${linesOf(draining.blockers, plan.showsQueries)}`
  )
}

/** States the limit of the wait, and what happens then. A limit too long to matter is left out. */
function whatNext(
  { waitedMs }: Draining,
  { withinMs, outcome, commitsWithinMs }: DrainPlan,
  { isEntering }: Waited,
): string {
  const consequences = consequencesFor(isEntering)
  if (outcome !== "proceed" || waitedMs < withinMs) {
    return withinMs > longestReportedMs ? "" : ` After ${inWords(withinMs)} it ${consequences[outcome]}.`
  }
  return commitsWithinMs > longestReportedMs
    ? " They can no longer be refused, so it goes on waiting."
    : ` They can no longer be refused, so after ${inWords(commitsWithinMs)} it ${consequences.abandon}.`
}

function consequencesFor(isEntering: boolean): Readonly<Record<DrainOutcome, string>> {
  const abandon = isEntering ? "abandons the window" : "rejects, and the window stays in force"
  const afterGrace = `them; if one is still open ${graceMs / 1000} s later, it ${abandon}`
  return {
    proceed: "proceeds without them",
    cancel: `cancels ${afterGrace}`,
    terminate: `terminates ${afterGrace}`,
    abandon,
  }
}

/** Longest limit that messages mention, in milliseconds. A longer one counts as no limit. */
const longestReportedMs = 24 * 3600 * 1000

function inWords(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 600_000) return `${Math.round(ms / 1000)} s`
  return `${Math.round(ms / 60_000)} min`
}

/** The error for a mode that was not entered because transactions are still open. */
export function drainTimedOut(
  blockers: readonly Blocker[],
  plan: ReportedPlan,
  { mode, actor, reason, message }: Wanted,
): DrainTimeoutError {
  return new DrainTimeoutError(
    `Mode not changed: ${actor.user} was entering ${mode} mode${reason ? ` (${reason})` : ""}, but ${whoIsLeft(blockers, plan)}. ` +
      `The previous mode is in force again.${linesOf(blockers, plan.showsQueries)}${lineBreak}${adviceOn(blockers, plan.outcome)}`,
    { mode, maintainer: actor.user, reason, publicMessage: message, blockers },
  )
}

/** The error for a window that was handed over while commits of its former maintainer are still under way. */
export function stillCommitting(
  blockers: readonly Blocker[],
  plan: ReportedPlan,
  { mode, actor, reason, message }: Wanted,
): DrainTimeoutError {
  return new DrainTimeoutError(
    `${capitalized(mode)} mode${reason ? ` (${reason})` : ""} was handed over to ${actor.user}, but ${whoIsLeft(blockers, plan)}.` +
      `${linesOf(blockers, plan.showsQueries)}${lineBreak}End ${them(blockers)}, or enter ${mode} mode again as ${actor.user} to wait for ${them(blockers)}.`,
    { mode, maintainer: actor.user, reason, publicMessage: message, blockers },
  )
}

/**
 * The error for a finished task whose restored, stricter window still waits for transactions begun during the
 * task.
 */
export function stillOpen(
  blockers: readonly Blocker[],
  plan: ReportedPlan,
  { mode, actor, reason, message }: Wanted,
): DrainTimeoutError {
  return new DrainTimeoutError(
    `The task is done, and ${mode} mode of ${actor.user}${reason ? ` (${reason})` : ""} is in force again, but ` +
      `${whoIsLeft(blockers, plan)}. The changes that the task committed are stored.${linesOf(blockers, plan.showsQueries)}${lineBreak}` +
      `End ${them(blockers)}, or enter ${mode} mode again as ${actor.user}: with drain.then: "terminate", or with ` +
      `"proceed" to let ${them(blockers)} be refused.`,
    { mode, maintainer: actor.user, reason, publicMessage: message, blockers },
  )
}

/** A clause that counts the transactions still open when the time is over. */
function whoIsLeft(blockers: readonly Blocker[], { withinMs, outcome, commitsWithinMs }: DrainPlan): string {
  const count = `${blockers.length} transaction${blockers.length === 1 ? "" : "s"} of other users`
  const [were, they] = blockers.length === 1 ? ["was", "it"] : ["were", "they"]
  const cancelled = outcome === "cancel" ? "cancelled" : "terminated"
  const toEnd = blockers.some(({ cannotEnd }) => cannotEnd)
    ? `an attempt to ${outcome} ${them(blockers)}`
    : `${they} ${were} ${cancelled}`
  switch (outcome) {
    case "proceed":
      return `${count} whose commit was under way ${were} still open after ${inWords(commitsWithinMs)}`
    case "abandon":
      return `${count} ${were} still open after ${inWords(withinMs)}`
    default:
      return `${count} ${were} still open ${graceMs / 1000} s after ${toEnd}`
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
      'Cancelling does not end a session that is idle in a transaction, but drain.then: "terminate" does.',
    isForbidden &&
      `To ${outcome} ${it}, enter with a role that is a member of pg_signal_backend. Sessions of superusers need a superuser.`,
    blockers.some(isPrepared) && "Only COMMIT PREPARED or ROLLBACK PREPARED ends a prepared transaction.",
    isEnding(outcome)
      ? `End ${it} by hand, or let ${it} be refused (drain.then: "proceed").`
      : `End ${it}, wait longer (drain.withinMs), or choose another outcome (drain.then: ${terminate}` +
        `"proceed" to let ${it} be refused).`,
    ...exceptionsTo(blockers),
  ]
  return sentences.filter(Boolean).join(" ")
}

/** Advice on commits under way, which can no longer be refused. */
function adviceOnCommits(blockers: readonly Blocker[]): string {
  const it = them(blockers)
  const sentences = [
    blockers.some(isPrepared) && "Only COMMIT PREPARED or ROLLBACK PREPARED ends a prepared transaction.",
    `${capitalized(blockers.length === 1 ? "it" : "they")} can no longer be refused. End ${it} by hand or with ` +
      'drain.then: "terminate", wait longer (drain.withinMs), or wait without a limit (drain.then: "proceed").',
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
      "However, a session for which no process is named may not have the plugin. It is then not refused, and may still commit.",
    blockers.some(isPrepared) && "However, a prepared transaction is not refused, and may still commit.",
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
  const named = blockers
    .slice(0, maxNamed)
    .map((blocker) => `${lineBreak}- ${describeBlocker(blocker, showsQueries)}`)
  const more = blockers.length > maxNamed ? `${lineBreak}- and ${blockers.length - maxNamed} more` : ""
  return `${named.join("")}${more}`
}
