import {
  AccessRefusedError,
  type ActedFor,
  EnteringInterruptedError,
  MaintenanceError,
  MaintenanceInputError,
  MaintenanceSetupError,
  NotMaintainerError,
  type RefusalError,
  type RefusalFacts,
  type RefusedChange,
  WriteVetoedError,
} from "../errors"

/** What PostgreSQL reports of an error, as `pg` hands it on. */
interface ServerError extends Error {
  readonly code?: string
  readonly detail?: string
  readonly hint?: string
}

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
  const frames = /\n\s+at [^]*$/.exec((cause as Error | undefined)?.stack ?? "")?.[0]
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

/** The error for who waits until he may write, and cannot be told whether he may, because of `why`. */
export function notTold(why: string, cause: unknown, timeoutMs: number): MaintenanceSetupError {
  return new MaintenanceSetupError(
    `It is not known whether one may write: ${why}. Waited ${timeoutMs} ms (timeoutMs). Try again when that is over.`,
    { cause },
  )
}

function notMaintainer(facts: RefusalFacts): NotMaintainerError {
  return new NotMaintainerError(
    `Mode not changed: ${facts.mode} maintenance is held ${describeWindow(facts)}; ` +
      `only ${facts.maintainer} or an emergency user may change it.`,
    facts,
  )
}

/** What is announced, and for when, which is `since` of its facts. */
export function describeAnnounced({ mode, maintainer, since, reason }: RefusalFacts): string {
  return `${mode} maintenance by ${maintainer}${reason ? ` (${reason})` : ""} is announced for ${since?.toISOString()}`
}

function announcedByOthers(facts: RefusalFacts): NotMaintainerError {
  return new NotMaintainerError(
    `Mode not announced: ${describeAnnounced(facts)}; ` +
      `only ${facts.maintainer} or an emergency user may announce another before.`,
    facts,
  )
}

/** The error for a leave() that has nothing to end, and nothing to take back but what somebody else has announced. */
export function notTakenBack(refusal: NotMaintainerError): NotMaintainerError {
  return new NotMaintainerError(
    `Nothing to leave: the mode is normal, and what is announced is not yours. ${capitalized(describeAnnounced(refusal))}; ` +
      `only ${refusal.maintainer} or an emergency user may take it back.`,
    { ...factsOf(refusal), cause: refusal.cause },
  )
}

/** A sentence, or what begins one. */
export function capitalized(sentence: string): string {
  return sentence.slice(0, 1).toUpperCase() + sentence.slice(1)
}

/**
 * The error for a change of the mode that was asked for, when nothing was heard of it any more; `awaited` is a sentence for what it
 * waits for, if that is known.
 */
export function perhapsChanged(cause: unknown, awaited: string | undefined): EnteringInterruptedError {
  if (awaited !== undefined) {
    return new EnteringInterruptedError(
      `The mode is not changed yet: ${awaited} This call waits no more: look at status() then, and ask again; if a mode was ` +
        "entered, nobody waits for what others had running.",
      { cause },
    )
  }
  return new EnteringInterruptedError(
    `It is not known whether the mode was changed: the database could not be reached as it was asked to (${String(cause)}). ` +
      "Look at status() when it is there again, and ask again; if a mode was entered, nobody waits for what others had running.",
    { cause },
  )
}

/** What a state, or the error of a refusal, tells of the window. */
export function factsOf(told: RefusalFacts & { readonly message?: string }): RefusalFacts {
  const { mode, maintainer, reason, since, expiresAt, retryAfterMs } = told
  // That of an error is its own.
  const publicMessage =
    told instanceof MaintenanceError ? told.publicMessage : (told.publicMessage ?? told.message)
  return { mode, maintainer, reason, publicMessage, since, expiresAt, retryAfterMs }
}

function factsIn(error: ServerError): RefusalFacts {
  const { mode, maintainer, reason, message, since, expires_at, retry_after_ms } = JSON.parse(
    error.detail ?? "{}",
  )
  return {
    mode,
    maintainer: maintainer ?? undefined,
    reason: reason ?? undefined,
    publicMessage: message ?? undefined,
    since: typeof since === "number" ? new Date(since) : undefined,
    expiresAt: typeof expires_at === "number" ? new Date(expires_at) : undefined,
    retryAfterMs: typeof retry_after_ms === "number" ? Math.max(0, retry_after_ms) : undefined,
    cause: error,
  }
}

/** What the server says is to be done instead of what a window refused, where it is no plain write. */
export function adviceIn(error: unknown): string | undefined {
  const { detail = "{}", hint } = error as ServerError
  return JSON.parse(detail).is_cursor ? hint : undefined
}

/** The process of a task that was not there when it was looked for. */
export interface InterruptedTask {
  /** The id of the instance that it had. */
  readonly instance: number
  /** "process 4711 on db-admin-1, since 2026-01-31T02:00:00.000Z", as far as it is known. */
  readonly description: string
}

/** What the refusal of a second task tells of the first, if the process of that is gone. */
export function interruptedTaskIn(error: unknown): InterruptedTask | undefined {
  if (!(error instanceof NotMaintainerError)) return undefined
  const { code, detail = "{}" } = (error.cause ?? {}) as ServerError
  if (code !== "MM005") return undefined
  const task = JSON.parse(detail)
  if (!task.task_is_gone) return undefined
  return { instance: task.task_instance, description: describeTask(task) }
}

function describeTask({ task_host, task_pid, task_since }: Record<string, unknown>): string {
  const process = typeof task_pid === "number" ? `process ${task_pid} on ${String(task_host)}` : "a process"
  return typeof task_since === "number" ? `${process}, since ${new Date(task_since).toISOString()}` : process
}

/** The refusal of a second task of the same user. */
function anotherTask(error: ServerError): NotMaintainerError {
  const facts = factsIn(error)
  const task = JSON.parse(error.detail ?? "{}")
  const which = `task of ${facts.maintainer} (${describeTask(task)})`
  return new NotMaintainerError(
    task.task_is_gone
      ? `Mode not changed: a ${which} was interrupted, for its process is gone; its window stands, ` +
          `${describeWindow(facts)}. Enter, or leave(), as ${facts.maintainer} or an emergency user.`
      : `Mode not changed: another ${which} is running, ${describeWindow(facts)}; two at once would end each ` +
          "other's maintenance. Wait for it, or run this as another user.",
    facts,
  )
}

/** PostgreSQL's code for a character that the encoding of the database lacks. */
const untranslatable = "22P05"
/** PostgreSQL's codes for "the schema, a function or the table is not there, or not for you". */
const unreadable = new Set(["3F000", "42P01", "42883", "42501", "42703", "42704", "42804", "MM009"])

/** Whether an error of the plugin's own SQL says that the state cannot be read. */
export function isUnreadable(error: unknown): boolean {
  return unreadable.has((error as ServerError).code ?? "")
}

/** What a function that changes a window would have done, if there were one, and what helps. */
const nothingTo: Readonly<Record<string, string>> = {
  leave: "leave: the mode is normal already. Where that is no error, pass ifHeld: true.",
  extend: "extend: the mode is normal already.",
  transfer: "hand over: the mode is normal already.",
}

/** Whether a call was refused because its user holds no window: there is none, or it is somebody else's. */
export function holdsNothing(error: unknown): boolean {
  const { code } = ((error as MaintenanceError).cause ?? {}) as ServerError
  return error instanceof MaintenanceError && (code === "MM003" || code === "MM004" || code === "MM008")
}

/**
 * The error of the plugin's own SQL as one of this package's classes: a refusal by its SQLSTATE (MM001 to MM008),
 * an unreadable state as a MaintenanceSetupError. `called` is the function that raised it, where that matters. Anything else (a lost connection, 40001, a timeout) is returned as it is.
 */
export function translateStateError(error: unknown, schema: string, called = "leave"): unknown {
  if (!(error instanceof Error) || error instanceof MaintenanceError) return error
  const serverError: ServerError = error
  switch (serverError.code) {
    case "MM001":
      return writeVetoed(factsIn(serverError))
    case "MM002":
      return accessRefused(factsIn(serverError))
    case "MM003":
      return notMaintainer(factsIn(serverError))
    case "MM005":
      return anotherTask(serverError)
    case "MM006":
      return new NotMaintainerError(
        "The maintenance is there no more, or was changed: it expired, was ended, or handed over.",
        factsIn(serverError),
      )
    case "MM007":
      return new MaintenanceInputError(
        `A window cannot begin at that time: ${error.message}, by the database's clock.`,
        { cause: error },
      )
    case "MM008":
      return announcedByOthers(factsIn(serverError))
    case "MM004":
      return new MaintenanceInputError(`There is no maintenance to ${nothingTo[called]}`, {
        mode: "normal",
        cause: error,
      })
  }
  if (serverError.code === untranslatable) {
    return new MaintenanceInputError(
      `This database cannot hold the name of the user, or the reason (${error.message}), so nothing is committed for it: ` +
        "use characters that its encoding has.",
      { cause: error },
    )
  }
  if (!isUnreadable(error)) return error
  return new MaintenanceSetupError(
    `The state of the maintenance cannot be read (${error.message}), so nothing is committed. ` +
      `Is the schema "${schema}" installed in this database, and may this role use it? Restart an application whose ` +
      `role may create objects (migrate: true), or have a DBA run the SQL of maintenanceSchemaSql({ schema: ` +
      `"${schema}", role }).`,
    { cause: error },
  )
}
