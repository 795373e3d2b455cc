/** The SQLSTATEs of PostgreSQL that this package knows by name. */
export const sqlState = {
  /** A statement received fewer values than it has parameters, in the extended protocol. */
  protocolViolation: "08P01",
  untranslatableCharacter: "22P05",
  /** A statement does not run inside a transaction block. */
  activeTransaction: "25001",
  /** A write in a read-only transaction, or a statement that a replica does not run. */
  readOnly: "25006",
  /** A prepared statement does not exist. */
  noSuchStatement: "26000",
  /** A statement may not end the transaction in which it runs. */
  invalidTermination: "2D000",
  /** A portal or cursor does not exist. */
  noSuchPortal: "34000",
  serializationFailure: "40001",
  deadlock: "40P01",
  insufficientPrivilege: "42501",
  lockNotAvailable: "55P03",
} as const

/** The SQLSTATEs that the SQL of this package raises. */
export const ownSqlState = {
  writeVetoed: "MM001",
  accessRefused: "MM002",
  notMaintainer: "MM003",
  noWindow: "MM004",
  taskRunning: "MM005",
  windowOver: "MM006",
  invalidTime: "MM007",
  windowAnnounced: "MM008",
  stateMissing: "MM009",
  foreignSchema: "MM010",
} as const

/** SQLSTATEs for a schema, function or table that is missing or not accessible. */
const unreadable = new Set<string>([
  "3F000",
  "42P01",
  "42883",
  sqlState.insufficientPrivilege,
  "42703",
  "42704",
  "42804",
  ownSqlState.stateMissing,
])
/**
 * SQLSTATEs for conditions that may soon be over: the connection (08), a cancel or a restart (57), no free
 * connection, a lock, a serialization failure, a deadlock.
 */
const passing = /^(?:08|57|53300|55P03|40001|40P01)/
/** SQLSTATEs for the end of a session: terminated, shut down, crashed, or open or idle for too long. */
const endings = /^(?:57P01|57P02|57P03|57P05|25P03|25P04)$/
/** No class of SQLSTATEs begins with E, but codes of the operating system do (EPIPE). */
const isSqlState = /^(?!E)[0-9A-Z]{5}$/
/** SQLSTATEs for a transaction that would succeed if it were run again. */
const retryable = new Set<string>([sqlState.serializationFailure, sqlState.deadlock])

/** Returns the SQLSTATE of a server error, or the code of any other error; empty if it has none. */
export function codeOf(error: unknown): string {
  return (error as { readonly code?: string } | null)?.code ?? ""
}

/** Whether an error of the plugin's own SQL means that the state cannot be read. */
export function isUnreadable(error: unknown): boolean {
  return unreadable.has(codeOf(error))
}

/** Whether the state could not be changed because other sessions hold it. */
export function isLocked(error: unknown): boolean {
  return codeOf(error) === sqlState.lockNotAvailable
}

/** Whether an error is not an answer of the server, or is one after which a retry may succeed. */
export function isPassingCode(error: unknown): boolean {
  const code = codeOf(error)
  return !isSqlState.test(code) || passing.test(code)
}

/** Whether the transaction would succeed if it were run again. */
export function isRetryable(error: unknown): boolean {
  return retryable.has(codeOf(error))
}

/** Whether the server has refused a statement and the session goes on. The statement has then not run. */
export function isRefusedByServer(error: unknown): boolean {
  const code = codeOf(error)
  return isSqlState.test(code) && !code.startsWith("57P") && !endings.test(code)
}

/** Whether an error ends its session. */
export function endsSession(error: unknown): boolean {
  return endings.test(codeOf(error))
}
