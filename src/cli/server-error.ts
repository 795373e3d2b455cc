/** SQLSTATEs of PostgreSQL that the command line knows by name. */
export const sqlState = { insufficientPrivilege: "42501", undefinedObject: "42704" } as const

/** No class of SQLSTATEs begins with E, but codes of the operating system do (EPIPE). */
const anySqlState = /^(?!E)[0-9A-Z]{5}$/
/** The connection, a cancel or a restart, no free connection, a lock, a serialization failure, a deadlock. */
const passing = /^(?:08|57|53300|55P03|40001|40P01)/

/** The SQLSTATE of an error that the server has sent; undefined if it has sent none. */
export function sqlStateOf(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown }
  return typeof code === "string" && anySqlState.test(code) ? code : undefined
}

/** Whether an error may soon be over: the server did not answer, or says so itself. */
export function isPassing(error: unknown): boolean {
  const state = sqlStateOf(error)
  return state === undefined || passing.test(state)
}
