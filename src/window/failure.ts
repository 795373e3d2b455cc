import {
  DrainTimeoutError,
  EnteringInterruptedError,
  type OutcomeUnknownError,
  StateUnavailableError,
  WindowEndedError,
} from "../errors"
import { type Blocker, describeBlocker } from "../mode/blocker"
import type { MaintenanceStatus } from "../mode/status"
import type { ResolvedOptions } from "../options"
import { capitalized, describeAnnounced, factsOf } from "../refusal"
import type { Announcement, Opening } from "../state/switching"
import { type Draining, type DrainOutcome, type DrainPlan, graceMs } from "../drain/drain"
import type { Tell } from "../drain/draining-feed"
import { type Fate, insteadOf } from "./fate"

/** How many blockers a message names. */
const maxNamed = 10

/** What a message says of a window. */
export type Wanted = Pick<Opening, "mode" | "actor" | "reason">

/** The same, of one that is waited for by this call. */
export interface Waited extends Wanted {
  readonly call: string
  /** Tells who follows that call. */
  readonly tell: Tell
}

/** How it is waited, and whether a message shows the SQL of those who are in the way. */
export type Told = DrainPlan & Pick<ResolvedOptions, "showsQueries">

/** What is said of a mode that is being entered for a while. */
export function stillWaiting(draining: Draining, waited: Waited, plan: Told): string {
  const { mode, actor, reason, call } = waited
  const who = `${actor.user}${reason ? `: ${reason}` : ""}`
  return (
    `${capitalized(mode)} mode (${who}) holds; ${call} has waited ${howLong(draining, plan)}, for:` +
    linesOf(draining.blockers, plan.showsQueries)
  )
}

/** How long it has been waited, of how long, and what then; of how long is not said of what is meant to be without an end. */
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

/** A wait that is longer is as good as one without an end. */
const longestToldMs = 24 * 3600 * 1000

function inWords(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 600_000) return `${Math.round(ms / 1000)} s`
  return `${Math.round(ms / 60_000)} min`
}

/** The error for a mode that was not entered, because of who is left. */
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

/** The error for a window that was handed over, when commits of its former maintainer are under way still. */
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

/** The error for a task that is done, when others have what they began during it open still, and a stricter mode is back. */
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

/** A clause for the transactions that are left when the time is over. */
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

/** What is to be done about who is left. */
function adviceOn(blockers: readonly Blocker[], outcome: DrainOutcome): string {
  if (outcome === "proceed") return adviceOnCommits(blockers)
  const it = them(blockers)
  const isIdle = blockers.some(({ state }) => state?.startsWith("idle in transaction"))
  // What PostgreSQL does not do for a session, it forbids.
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

/** What is to be done about who holds a commit up that is under way, and can be refused no more. */
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

/** Who of those that are left is not refused. Behind a pooler the plugin may be there all the same. */
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

/** Whether what is left is ended, before it is abandoned. */
function isEnding(outcome: DrainOutcome): outcome is "cancel" | "terminate" {
  return outcome === "cancel" || outcome === "terminate"
}

function linesOf(blockers: readonly Blocker[], showsQueries: boolean): string {
  const named = blockers.slice(0, maxNamed).map((blocker) => `\n- ${describeBlocker(blocker, showsQueries)}`)
  const more = blockers.length > maxNamed ? `\n- and ${blockers.length - maxNamed} more` : ""
  return `${named.join("")}${more}`
}

/** The error for a window that is over before `what` was done; `status` is the state as it is now, if it could be read. */
export function windowEnded(
  what: string,
  fate: Fate,
  { status, cause }: { status: MaintenanceStatus | undefined; cause: unknown },
): WindowEndedError {
  const { why } = fate
  const instead = status ? ` ${insteadOf(status)}` : ""
  return new WindowEndedError(`The maintenance was over before ${what}: ${why}.${instead}`, {
    ...(status && factsOf(status)),
    ...fate,
    cause,
  })
}

/** The error for a task whose window was gone before it was done. */
export function taskLost(fate: Fate, status: MaintenanceStatus): WindowEndedError {
  return new WindowEndedError(
    `The maintenance was over before its task was done: ${fate.why}. ${insteadOf(status)} What the task has committed is stored.`,
    { ...factsOf(status), ...fate },
  )
}

/** The error for a mode that is in force, though it was not waited for all that others had running. */
export function interrupted(
  cause: unknown,
  { call = "enter()", why = messageOf(cause) } = {},
): EnteringInterruptedError {
  return new EnteringInterruptedError(
    `The mode is in force, but ${call} did not finish waiting: ${why}\n` +
      "What others had running may be running still. Enter again to have that waited for, or leave().",
    { cause },
  )
}

/** The same, for a task that was not begun for that, and whose window was ended again. */
export function interruptedTask({
  cause,
}: EnteringInterruptedError | OutcomeUnknownError): EnteringInterruptedError {
  return new EnteringInterruptedError(
    `The task was not begun, for its mode was not entered to its end: ${messageOf(cause)}\n` +
      "The mode is what it was before.",
    { cause },
  )
}

/** The reason to break off the entering of a mode when a signal asks the process to end. */
export function brokenOffBySignal(signal: NodeJS.Signals): DOMException {
  return new DOMException(
    `The mode was not entered: the process received ${signal} (leaveOnSignal). The mode is what it was before.`,
    "AbortError",
  )
}

/** The error for a task whose window a signal has ended before it was done. */
export function taskEndedBySignal(
  signal: NodeJS.Signals,
  fate: Fate,
  status: MaintenanceStatus,
): WindowEndedError {
  return new WindowEndedError(
    `The maintenance was over before its task was done: the process received ${signal} (leaveOnSignal). ` +
      "What the task has committed is stored.",
    { ...factsOf(status), ...fate },
  )
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/**
 * The error for a window that was announced by a DataSource that is destroyed before its time; `hasLapsed` says whether it could be taken
 * back.
 */
export function destroyedBefore(wanted: Wanted, hasLapsed: boolean, cause: unknown): StateUnavailableError {
  const window = `the ${describeWanted(wanted)}`
  return new StateUnavailableError(
    "The DataSource was destroyed, or maintenance mode uninstalled from it, " +
      (hasLapsed
        ? `so what was announced is taken back: ${window} does not begin.`
        : `but what was announced could not be taken back, for the database did not answer: another process begins ${window}, unless it is cancelled.`),
    { isDestroyed: true, cause },
  )
}

function describeWanted({ mode, actor, reason }: Wanted): string {
  return `${mode} maintenance of ${actor.user}${reason ? ` (${reason})` : ""}`
}

/** What a process says that has begun a window for whoever announced it, when that failed. */
export function announcedFailed(wanted: Wanted, error: unknown): string {
  return `This process has begun the announced ${describeWanted(wanted)}, which was not entered to its end. ${messageOf(error)}`
}

/** The error for a window that did not begin as it was announced, by what has become of it, and the status as it is now. */
export function notBegun(
  announcement: Announcement | undefined,
  { announced }: MaintenanceStatus,
): WindowEndedError {
  return new WindowEndedError(
    `The announced maintenance did not begin: ${whyNotBegun(announcement, announced)}.`,
    {
      endedBecause: announcement?.endedBecause,
      endedBy: announcement?.endedBy,
      mode: announced?.mode,
      maintainer: announced?.maintainer,
      reason: announced?.reason,
    },
  )
}

function whyNotBegun(
  { endedBecause, endedBy }: Partial<Announcement> = {},
  other: MaintenanceStatus["announced"],
): string {
  const by = endedBy === undefined ? "" : ` by ${endedBy}`
  switch (endedBecause) {
    case "cancelled":
      return `it was taken back${by}`
    case "missed":
      return "its time was missed, for somebody else held a window then, or no process began it in time"
    case "switched":
    case "taken over":
      return `another was announced instead${by}${other ? `; ${describeAnnounced({ ...other, since: other.startsAt })}` : ""}`
    case undefined:
      return "the database does not know of it any more, as after a restore"
    default:
      return `another process has begun it, and it is over${by} (${endedBecause})`
  }
}
