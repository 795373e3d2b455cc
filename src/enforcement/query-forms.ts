import type { Submittable, Statement } from "../wire/protocol"

type Callback = (error: unknown, result?: unknown) => void

/** Whether a submittable uses the extended protocol, in which PostgreSQL accepts one statement only. */
export function isExtendedObject(query: Submittable): boolean {
  const { read, cursor, requiresPreparation } = query as Submittable & {
    requiresPreparation?: () => boolean
  }
  const isPortioned = typeof ((cursor as { read?: unknown } | undefined) ?? { read }).read === "function"
  const isQuery = typeof requiresPreparation === "function"
  return isQuery ? requiresPreparation.call(query) : isPortioned && "_portal" in (cursor ?? query)
}

/** Whether a statement is a submittable. */
export function isSubmittable(statement: object | string): statement is Submittable {
  return typeof (statement as { submit?: unknown }).submit === "function"
}

/** The callback of a query, taken from the places where pg looks for it, in the same order. */
export function callbackOf(values: unknown, callback: unknown, statement?: Statement): Callback | undefined {
  if (typeof values === "function") return values as Callback
  if (typeof callback === "function") return callback as Callback
  const given = (statement as { callback?: unknown } | undefined)?.callback
  return typeof given === "function" ? (given as Callback) : undefined
}
