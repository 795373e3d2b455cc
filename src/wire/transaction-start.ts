const mode = String.raw`(?:isolation\s+level\s+(?:serializable|repeatable\s+read|read\s+committed|read\s+uncommitted)|read\s+(?:only|write)|(?:not\s+)?deferrable)`
const modes = String.raw`${mode}(?:(?:\s*,\s*|\s+)${mode})*`
const begin = new RegExp(String.raw`^\s*begin(?:\s+(?:work|transaction))?(?:\s+(${modes}))?\s*;?\s*$`, "i")
const start = new RegExp(String.raw`^\s*start\s+transaction(?:\s+(${modes}))?\s*;?\s*$`, "i")
const set = new RegExp(String.raw`^\s*set\s+transaction\s+(${modes})\s*;?\s*$`, "i")
/** The longest text that these are tried on: they are short, and longer ones would take them long. */
const maxLength = 200

/** What a text asks for that does nothing but start a transaction, or set its modes. */
export interface TransactionStart {
  /** PostgreSQL's command tag. */
  readonly tag: "BEGIN" | "START TRANSACTION" | "SET"
  /** The modes, as written; empty for the session's defaults. */
  readonly modes: string
}

/**
 * What a text asks for that does nothing but start a transaction, or (`hasStarted`) set the modes of one that has
 * started; undefined for all other texts. Such a text can be sent later than it was asked for: it cannot fail by itself,
 * and nobody sees a difference.
 */
export function transactionStart(text: string, hasStarted: boolean): TransactionStart | undefined {
  if (text.length > maxLength) return undefined
  if (hasStarted) return found("SET", set.exec(text))
  return found("BEGIN", begin.exec(text)) ?? found("START TRANSACTION", start.exec(text))
}

function found(tag: TransactionStart["tag"], match: RegExpExecArray | null): TransactionStart | undefined {
  return match ? { tag, modes: match[1] ?? "" } : undefined
}
