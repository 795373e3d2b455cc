import { AccessRefusedError, MaintenanceError, RefusalError, WriteVetoedError } from "./errors"
import type { RefusalFacts, RefusedStatement } from "./mode/refusal-facts"
import { embedded, timeText } from "./text"

/** Describes a window by its known facts: "by alice (rebuild the catalog) since 2026-01-31 02:00:00 UTC". */
export function describeWindow({ maintainer, reason, since, expiresAt }: RefusalFacts): string {
  return [
    maintainer && `by ${maintainer}`,
    reason && `(${reason})`,
    since && `since ${timeText(since)}`,
    expiresAt && `(expires at ${timeText(expiresAt)})`,
  ]
    .filter(Boolean)
    .join(" ")
}

/**
 * Makes a refusal in two wordings.
 *
 * The message may reach anyone, so it contains neither the maintainer nor the reason. The detailed message is
 * for those who run the system. `say` receives "the system has been in concurrent maintenance since ...".
 */
function inTwoWordings<E extends RefusalError, Facts extends RefusalFacts>(
  Refusal: new (message: string, facts: Facts & { detailedMessage: string }) => E,
  facts: Facts,
  say: (system: string, isDetailed: boolean) => string,
): E {
  const { mode, since, expiresAt } = facts
  const system = (window: string) =>
    ["the system", since ? "has been" : "is", "in", mode, "maintenance", window].filter(Boolean).join(" ")
  const detailedMessage = say(system(describeWindow(facts)), true)
  const anonymous = say(system(describeWindow({ since, expiresAt })), false)
  const message = [anonymous, facts.publicMessage].filter(Boolean).join(" ")
  return make(Refusal, message, { ...facts, detailedMessage })
}

/** Makes a refusal whose stack leads to the code that issued the statement. */
function make<E extends RefusalError, Facts extends RefusalFacts>(
  Refusal: new (message: string, facts: Facts) => E,
  message: string,
  facts: Facts,
): E {
  const refusal = withLongStack(() => new Refusal(message, facts))
  leadToCaller(refusal, facts.cause)
  return refusal
}

/** Number of stack frames of a refusal, which is created far from the application's code. */
const maxFrames = 40

function withLongStack<E extends Error>(create: () => E): E {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = Math.max(stackTraceLimit, maxFrames)
  try {
    return create()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** Gives a refusal the stack frames of its cause, if any. They lead to the code that issued the statement. */
function leadToCaller(refusal: Error, cause: unknown): void {
  const { stack = "", message = "" } = (cause as Error | undefined) ?? {}
  // The message may contain lines that look like frames.
  const frames = /\n\s+at [^]*$/.exec(stack.slice(stack.indexOf(message) + message.length))?.[0]
  if (frames) refusal.stack = `${refusal.name}: ${refusal.message}${frames}`
}

/** Makes the veto of a write in concurrent mode. */
export function writeVetoed(facts: RefusalFacts, statement: RefusedStatement = {}): WriteVetoedError {
  const { changes = [], actedFor, why } = statement
  const names = changes.map(({ operation, entity }) => `${operation} ${entity}`).join(", ")
  return inTwoWordings(
    WriteVetoedError,
    { ...facts, actedFor, changes },
    (system, isDetailed) =>
      `Write vetoed${isDetailed && names ? ` (${names})` : ""}: ${system}; other users may only read. ` +
      `${why ? `${why} ` : ""}Nothing was stored. Try again when the maintenance is over.` +
      (isDetailed ? actorsOf(statement) : ""),
  )
}

/** Makes the refusal of any access in exclusive mode. `why` is a clause for a call that has waited. */
export function accessRefused(
  facts: RefusalFacts,
  why?: string,
  statement: RefusedStatement = {},
): AccessRefusedError {
  const { actedFor } = statement
  return inTwoWordings(
    AccessRefusedError,
    { ...facts, actedFor },
    (system, isDetailed) =>
      `Access refused: ${system}; only the maintainer gets a connection. ` +
      `${why ? `${capitalized(why)}. ` : ""}Try again when the maintenance is over.` +
      (isDetailed ? actorsOf(statement) : ""),
  )
}

/** Adds the users for whom the code acted to a refusal that was made without them. */
export function withActors(error: unknown, statement: RefusedStatement): unknown {
  const { actedFor } = statement
  if (!actedFor || !(error instanceof RefusalError) || error.actedFor) return error
  const detailedMessage = `${error.detailedMessage}${actorsOf(statement)}`
  const facts = { ...factsOf(error), actedFor, cause: error.cause, detailedMessage }
  return error instanceof WriteVetoedError
    ? make(WriteVetoedError, error.message, { ...facts, changes: error.changes })
    : make(AccessRefusedError, error.message, facts)
}

/** The sentence about the users for whom the code acted, after a space; empty if they did not change. */
function actorsOf({ actedFor, isCommit }: RefusedStatement): string {
  if (!actedFor) return ""
  const { first = "no user", last = "no user" } = actedFor
  return (
    ` The code acted for ${first} when the transaction began and for ${last} when it ` +
    (isCommit ? "committed. The user at the commit counts." : "was refused.")
  )
}

/**
 * Makes the refusal of a connection for a call that waited for the end of a window during which it could
 * read.
 */
export function notLetIn(facts: RefusalFacts, why: string): AccessRefusedError {
  return inTwoWordings(
    AccessRefusedError,
    facts,
    (system) =>
      `Access refused: ${system}; ${why}. Nothing was sent. Try again when the maintenance is over. ` +
      'To read during the maintenance, use onRefused: "throw", which does not wait.',
  )
}

/** Makes the refusal of a connection for a window that limits the connections of other users. */
export function noSlot(
  { readers, ...facts }: RefusalFacts & { readers?: number | undefined },
  waitedMs: number,
): AccessRefusedError {
  return inTwoWordings(
    AccessRefusedError,
    factsOf(facts),
    (system) =>
      `No connection available: ${system}. Other users may use ${readers} connection${readers === 1 ? "" : "s"} ` +
      `of each instance (readers), and none became free within ${waitedMs} ms. Try again.`,
  )
}

/**
 * Makes the refusal for a user who asks for permission to write and has none. `timeoutMs` is given if the
 * call waited that long.
 */
export function notWritable(window: RefusalFacts, timeoutMs?: number): WriteVetoedError | AccessRefusedError {
  const Refusal = window.mode === "exclusive" ? AccessRefusedError : WriteVetoedError
  const others =
    window.mode === "exclusive" ? "only the maintainer gets a connection" : "other users may only read"
  const waited = timeoutMs === undefined ? "" : `The call waited ${timeoutMs} ms (timeoutMs). `
  return inTwoWordings<WriteVetoedError | AccessRefusedError, RefusalFacts>(
    Refusal,
    factsOf(window),
    (system) => `Writes refused: ${system}; ${others}. ${waited}Try again when the maintenance is over.`,
  )
}

/** Describes an announced window: from `since` of its facts to `expiresAt`, as far as these are known. */
export function describeAnnounced({ mode, maintainer, since, expiresAt, reason }: RefusalFacts): string {
  return (
    `${mode} maintenance by ${maintainer}${reason ? ` (${reason})` : ""} is announced for ${since && timeText(since)}` +
    (expiresAt ? ` until ${timeText(expiresAt)}` : "")
  )
}

/** Capitalizes the beginning of a sentence. */
export function capitalized(sentence: string): string {
  return sentence.slice(0, 1).toUpperCase() + sentence.slice(1)
}

/** Returns the facts about the window that a state or a refusal contains. */
export function factsOf(told: RefusalFacts & { readonly message?: string }): RefusalFacts {
  const { windowId, mode, maintainer, reason, since, expiresAt, retryAfterMs } = told
  // The `message` of an error is its own text, not the one for the public.
  const publicMessage =
    told instanceof MaintenanceError ? told.publicMessage : (told.publicMessage ?? told.message)
  return { windowId, mode, maintainer, reason, publicMessage, since, expiresAt, retryAfterMs }
}

/** Returns the message of an error, or the text of any other thrown value, to become part of another message. */
export function messageOf(error: unknown): string {
  if (error instanceof MaintenanceError) return embedded(error.message)
  return error instanceof Error ? error.message : String(error)
}
