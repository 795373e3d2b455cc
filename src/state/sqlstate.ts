/** SQLSTATE for a character that the encoding of the database lacks. */
export const untranslatable = "22P05"
/** SQLSTATEs for a schema, function or table that is missing or not accessible. */
const unreadable = new Set(["3F000", "42P01", "42883", "42501", "42703", "42704", "42804", "MM009"])
/**
 * SQLSTATEs for conditions that may soon be over: the connection (08), a cancel or a restart (57), no free
 * connection, a lock, a serialization failure, a deadlock.
 */
const passing = /^(?:08|57|53300|55P03|40001|40P01)/
const isSqlState = /^[0-9A-Z]{5}$/

/** Returns the SQLSTATE of a server error, or the code of any other error; empty if it has none. */
export function codeOf(error: unknown): string {
  return (error as { readonly code?: string } | null)?.code ?? ""
}

/** Whether an error of the plugin's own SQL means that the state cannot be read. */
export function isUnreadable(error: unknown): boolean {
  return unreadable.has(codeOf(error))
}

/** Whether the state could not be changed because other sessions hold it (lock_not_available). */
export function isLocked(error: unknown): boolean {
  return codeOf(error) === "55P03"
}

/** Whether an error is not an answer of the server, or is one after which a retry may succeed. */
export function isPassingCode(error: unknown): boolean {
  const code = codeOf(error)
  return !isSqlState.test(code) || passing.test(code)
}

/** Whether the server has refused a statement and the session goes on. The statement has then not run. */
export function isRefusedByServer(error: unknown): boolean {
  const code = codeOf(error)
  return isSqlState.test(code) && !code.startsWith("57P")
}
