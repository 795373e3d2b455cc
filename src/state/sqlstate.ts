/** PostgreSQL's code for a character that the encoding of the database lacks. */
export const untranslatable = "22P05"
/** PostgreSQL's codes for "the schema, a function or the table is not there, or not for you". */
const unreadable = new Set(["3F000", "42P01", "42883", "42501", "42703", "42704", "42804", "MM009"])
/**
 * PostgreSQL's codes for what may be over in a moment: the connection (08), a cancel or a restart (57), no connection left, a lock,
 * a serialization failure.
 */
const passing = /^(?:08|57|53300|55P03|40001|40P01)/
const isSqlState = /^[0-9A-Z]{5}$/

/** The SQLSTATE of an error of the server; what else an error has for a code, or nothing. */
export function codeOf(error: unknown): string {
  return (error as { readonly code?: string } | null)?.code ?? ""
}

/** Whether an error of the plugin's own SQL says that the state cannot be read. */
export function isUnreadable(error: unknown): boolean {
  return unreadable.has(codeOf(error))
}

/** Whether the state could not be changed because others hold it (lock_not_available). */
export function isLocked(error: unknown): boolean {
  return codeOf(error) === "55P03"
}

/** Whether an error is no answer of the server, or one that says that it may go well if it is tried again. */
export function isPassingCode(error: unknown): boolean {
  const code = codeOf(error)
  return !isSqlState.test(code) || passing.test(code)
}

/** Whether the server has refused a statement, and the session goes on: so it was not run. */
export function isRefusedByServer(error: unknown): boolean {
  const code = codeOf(error)
  return isSqlState.test(code) && !code.startsWith("57P")
}
