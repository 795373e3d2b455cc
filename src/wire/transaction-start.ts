const mode = String.raw`(?:isolation\s+level\s+(?:serializable|repeatable\s+read|read\s+committed|read\s+uncommitted)|read\s+(?:only|write)|(?:not\s+)?deferrable)`
const modes = String.raw`${mode}(?:(?:\s*,\s*|\s+)${mode})*`
const begin = new RegExp(String.raw`^\s*begin(?:\s+(?:work|transaction))?(?:\s+(${modes}))?\s*;?\s*$`, "i")
const start = new RegExp(String.raw`^\s*start\s+transaction(?:\s+(${modes}))?\s*;?\s*$`, "i")
const set = new RegExp(String.raw`^\s*set\s+transaction\s+(${modes})\s*;?\s*$`, "i")
/**
 * Maximum length of the texts to match. Those of interest are short, and matching longer ones would be slow.
 */
const maxLength = 200

/** The request of a text that only starts a transaction, or only sets its modes. */
export interface TransactionStart {
  /** PostgreSQL's command tag. */
  readonly tag: "BEGIN" | "START TRANSACTION" | "SET"
  /** The modes as written; empty for the session's defaults. */
  readonly modes: string
}

/**
 * Parses a text that only starts a transaction or, with `hasStarted`, only sets the modes of one that has
 * started. Such a text can be sent later than requested: it cannot fail by itself, and the difference is not
 * visible. Returns undefined for any other text.
 */
export function transactionStart(text: string, hasStarted: boolean): TransactionStart | undefined {
  if (text.length > maxLength) return undefined
  if (hasStarted) return found("SET", set.exec(text))
  return found("BEGIN", begin.exec(text)) ?? found("START TRANSACTION", start.exec(text))
}

function found(tag: TransactionStart["tag"], match: RegExpExecArray | null): TransactionStart | undefined {
  return match ? { tag, modes: match[1] ?? "" } : undefined
}
