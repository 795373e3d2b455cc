import {
  AccessRefusedError,
  type ActedFor,
  MaintenanceError,
  type RefusalError,
  type RefusalFacts,
  WriteVetoedError,
} from "./errors"
import type { RefusedChange } from "./mode/refused-change"

/** "since 2026-01-31T02:00:00.000Z by alice (rebuild the catalog)", as far as it is known. */
export function describeWindow({ maintainer, reason, since, expiresAt }: RefusalFacts): string {
  return [
    since && `since ${since.toISOString()}`,
    expiresAt && `until ${expiresAt.toISOString()}`,
    maintainer && `by ${maintainer}`,
    reason && `(${reason})`,
  ]
    .filter(Boolean)
    .join(" ")
}

/**
 * A refusal in two wordings. Its message may reach anybody, so it tells neither who holds the window nor why; the detailed one is for
 * those who run the system. `say` gets "the system is in concurrent maintenance since ...".
 */
function inTwoWordings<E extends RefusalError, Facts extends RefusalFacts>(
  Refusal: new (message: string, facts: Facts & { detailedMessage: string }) => E,
  facts: Facts,
  say: (system: string, isDetailed: boolean) => string,
): E {
  const { mode, since, expiresAt } = facts
  const system = (window: string) =>
    ["the system is in", mode, "maintenance", window].filter(Boolean).join(" ")
  const detailedMessage = say(system(describeWindow(facts)), true)
  const anonymous = say(system(describeWindow({ since, expiresAt })), false)
  const message = [anonymous, facts.publicMessage].filter(Boolean).join(" ")
  const refusal = withLongStack(() => new Refusal(message, { ...facts, detailedMessage }))
  leadToCaller(refusal, facts.cause)
  return refusal
}

/** How many frames the stack of a refusal has, for it is made far from the code of the application. */
const maxFrames = 40

function withLongStack<E extends Error>(make: () => E): E {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = Math.max(stackTraceLimit, maxFrames)
  try {
    return make()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** Gives a refusal the frames of the error underneath, if there is one: those lead to the code that asked for the statement. */
function leadToCaller(refusal: Error, cause: unknown): void {
  const { stack = "", message = "" } = (cause as Error | undefined) ?? {}
  // The message may have lines that look like frames.
  const frames = /\n\s+at [^]*$/.exec(stack.slice(stack.indexOf(message) + message.length))?.[0]
  if (frames) refusal.stack = `${refusal.name}: ${refusal.message}${frames}`
}

/** The veto of a write in concurrent mode; `why` is a sentence for what is refused though it may only read. */
export function writeVetoed(
  facts: RefusalFacts,
  changes: readonly RefusedChange[] = [],
  why?: string,
): WriteVetoedError {
  const names = changes.map(({ operation, entity }) => `${operation} ${entity}`).join(", ")
  return inTwoWordings(
    WriteVetoedError,
    { ...facts, changes },
    (system, isDetailed) =>
      `Write vetoed${isDetailed && names ? ` (${names})` : ""}: ${system}; others may only read. ` +
      `${why ? `${why} ` : ""}Nothing was stored. Try again when the maintenance is over.`,
  )
}

/** The refusal of any access in exclusive mode; `why` is a clause for who has waited. */
export function accessRefused(facts: RefusalFacts, why?: string): AccessRefusedError {
  return inTwoWordings(
    AccessRefusedError,
    facts,
    (system) =>
      `Access refused: ${system}; only the maintainer gets a connection. ` +
      `${why ? `${capitalized(why)}. ` : ""}Try again when the maintenance is over.`,
  )
}

/** A refusal that says, too, whom the code acted for within its transaction; `isCommit` if the commit was refused. */
export function withActors(refusal: unknown, actedFor: ActedFor, isCommit: boolean): unknown {
  const { first = "nobody", last = "nobody" } = actedFor
  const sentence =
    `The code acted for ${first} when the transaction began, and for ${last} ` +
    (isCommit ? "when it committed: the user at the commit counts." : "when this was refused.")
  const told = (error: RefusalError) => ({
    ...factsOf(error),
    actedFor,
    cause: error.cause,
    detailedMessage: `${error.detailedMessage} ${sentence}`,
  })
  if (refusal instanceof WriteVetoedError)
    return new WriteVetoedError(refusal.message, { ...told(refusal), changes: refusal.changes })
  if (refusal instanceof AccessRefusedError) return new AccessRefusedError(refusal.message, told(refusal))
  return refusal
}

/** The refusal of a connection to who waits for the end of a window in which he could read. */
export function notLetIn(facts: RefusalFacts, why: string): AccessRefusedError {
  return inTwoWordings(
    AccessRefusedError,
    facts,
    (system) =>
      `Not let in: ${system}; ${why}. Nothing was sent. ` +
      'Try again when the maintenance is over; for what only reads, onRefused: "throw" does not wait.',
  )
}

/** The refusal of a connection, where a window bounds how many there are for others. */
export function noPlace(
  { readers, ...facts }: RefusalFacts & { readers?: number | undefined },
  waitedMs: number,
): AccessRefusedError {
  return inTwoWordings(
    AccessRefusedError,
    factsOf(facts),
    (system) =>
      `No connection: ${system}, in which others may use ${readers} connection${readers === 1 ? "" : "s"} of a process, ` +
      `and none was given back for ${waitedMs} ms. Try again.`,
  )
}

/** The answer to who asks whether he may write, and may not; with the time that was given, if he has waited for so long. */
export function notWritable(window: RefusalFacts, timeoutMs?: number): WriteVetoedError | AccessRefusedError {
  const Refusal = window.mode === "exclusive" ? AccessRefusedError : WriteVetoedError
  const others =
    window.mode === "exclusive" ? "only the maintainer gets a connection" : "others may only read"
  const waited = timeoutMs === undefined ? "" : `Waited ${timeoutMs} ms (timeoutMs). `
  return inTwoWordings<WriteVetoedError | AccessRefusedError, RefusalFacts>(
    Refusal,
    factsOf(window),
    (system) => `Not writable: ${system}; ${others}. ${waited}Try again when the maintenance is over.`,
  )
}

/** What is announced, and for when: from `since` of its facts to `expiresAt`, as far as that is known. */
export function describeAnnounced({ mode, maintainer, since, expiresAt, reason }: RefusalFacts): string {
  return (
    `${mode} maintenance by ${maintainer}${reason ? ` (${reason})` : ""} is announced for ${since?.toISOString()}` +
    (expiresAt ? ` until ${expiresAt.toISOString()}` : "")
  )
}

/** A sentence, or what begins one. */
export function capitalized(sentence: string): string {
  return sentence.slice(0, 1).toUpperCase() + sentence.slice(1)
}

/** What a state, or the error of a refusal, tells of the window. */
export function factsOf(told: RefusalFacts & { readonly message?: string }): RefusalFacts {
  const { windowId, mode, maintainer, reason, since, expiresAt, retryAfterMs } = told
  // That of an error is its own.
  const publicMessage =
    told instanceof MaintenanceError ? told.publicMessage : (told.publicMessage ?? told.message)
  return { windowId, mode, maintainer, reason, publicMessage, since, expiresAt, retryAfterMs }
}
