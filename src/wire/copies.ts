import { MaintenanceSetupError } from "../errors"
import type { ProtocolConnection } from "./protocol"

/** Methods that pg's client calls with the server's answers, besides `submit` and `handleError`. */
export const handlers = [
  "handleRowDescription",
  "handleDataRow",
  "handlePortalSuspended",
  "handleEmptyQuery",
  "handleCommandComplete",
  "handleCopyInResponse",
  "handleCopyData",
  "handleReadyForQuery",
] as const

/** Leads from a copy of a query object to the original. */
const originKey = Symbol("origin")
/** Marks a copy whose handlers lead to the original. */
const linkedKey = Symbol("linked")

/** A query object whose copy can be handed to pg. */
export interface Copyable {
  text?: string | undefined
  binary?: unknown
  callback?: unknown
  submit(connection: ProtocolConnection): Error | null | undefined | void
  handleError(error: Error, connection: ProtocolConnection): void
}

type Copy = Copyable & { [originKey]?: Copyable; [name: string]: unknown }
type Handler = (...args: unknown[]) => unknown

/**
 * Allows a copy of a query object to be handed to pg in its place.
 *
 * Tracing copies an object's own properties with another text (`{ ...query, text }`). Such a copy lacks the
 * members of the class, and pg would run it as a plain query, without the other messages of the object. The
 * methods that pg calls first, and the way back to the object, are therefore own properties.
 */
export function allowCopies(query: Copyable): void {
  const own = query as Copy
  own[originKey] = query
  own.submit = submitOrigin
  own.handleError = handleErrorOfOrigin
}

/** Whether a text is another one with a comment before or after it, as tracing adds it. */
export function isCommented(text: string, original: string): boolean {
  if (text.startsWith(original)) return comment.test(text.slice(original.length))
  return text.endsWith(original) && comment.test(text.slice(0, -original.length))
}

/** Without `;`, so that the comment cannot turn one statement into several, wherever it is placed. */
const comment = /^\s*\/\*(?:(?!\*\/|\/\*)[^;])*\*\/\s*$/

/** Makes the error for a query object that reached pg with another text than its own. */
export function rewritten(text: unknown): MaintenanceSetupError {
  return new MaintenanceSetupError(
    `A statement was not sent, because code between this package and pg has rewritten it to ${quoted(text)}. ` +
      "Only the original statement was checked. Make the code that patches pg's client (tracing, an APM agent, a client " +
      "class) add only comments, or change the statement before it reaches the connection.",
  )
}

/** Makes the error for a query that reached pg past this package. */
export function notOurs(text: unknown): MaintenanceSetupError {
  return new MaintenanceSetupError(
    `A statement was not sent, and its connection was closed, because it reached pg without this package: ${quoted(text)}. ` +
      "Code that patches pg's client (tracing, an APM agent, a client class) has made a new query of the query object " +
      "that it received, or sends statements itself. Make it pass on that object, or a copy with all of its properties, " +
      "and nothing else.",
  )
}

/** Makes the error for a query object that was answered without having been sent. */
export function notSent(text: unknown): MaintenanceSetupError {
  return new MaintenanceSetupError(
    `A statement was answered without having been sent, and its connection was closed: ${quoted(text)}. ` +
      "Code that patches pg's client (tracing, an APM agent, a client class) has not passed on the query object that it " +
      "received. The statement may have run elsewhere. Make that code pass on the object to the same client.",
  )
}

const maxQuoted = 100

function quoted(text: unknown): string {
  if (typeof text !== "string") return "a statement without text"
  return JSON.stringify(text.length > maxQuoted ? `${text.slice(0, maxQuoted)}...` : text)
}

function submitOrigin(this: Copy, connection: ProtocolConnection): Error | null | undefined | void {
  const origin = this[originKey] as Copyable
  if (this !== origin) link(this, origin)
  return methodsOf(origin).submit.call(origin, connection)
}

function handleErrorOfOrigin(this: Copy, error: Error, connection: ProtocolConnection): void {
  const origin = this[originKey] as Copyable
  if (this !== origin) link(this, origin)
  methodsOf(origin).handleError.call(origin, error, connection)
}

function methodsOf(origin: Copyable): Copyable {
  return Object.getPrototypeOf(origin) as Copyable
}

/**
 * Forwards pg's calls on the copy to the object, and gives the object the properties that were set on the
 * copy.
 */
function link(copy: Copy, origin: Copyable): void {
  if (Object.hasOwn(copy, linkedKey)) return
  Object.defineProperty(copy, linkedKey, { value: true })
  for (const name of handlers) {
    const handle = (origin as Copy)[name] as Handler | undefined
    if (handle) Object.defineProperty(copy, name, { value: handle.bind(origin), configurable: true })
  }
  // A property defined on a proxy of the object is defined on the object itself.
  if (Object.hasOwn(origin, linkedKey)) return
  if (copy.callback) origin.callback = copy.callback
  if (copy.binary) origin.binary = copy.binary
  if (copy.text !== undefined && copy.text !== origin.text) origin.text = copy.text
  Object.defineProperty(copy, "callback", {
    configurable: true,
    get: () => origin.callback,
    set: (callback) => {
      origin.callback = callback
    },
  })
}
