import { leadingEnd, type TransactionEnd, wordEnd } from "./transaction-end"

/**
 * The effect of a text on a transaction, as far as it is certain from the text alone.
 * - `atomic`: one statement that is done or undone as a whole, with its transaction: SELECT, INSERT, UPDATE,
 *   DELETE, MERGE, VALUES, TABLE, or a schema change that runs in a transaction block. It cannot end a
 *   transaction.
 * - `control`: one statement that starts or marks a transaction, or concerns the session. It commits nothing.
 * - `rollback`: one ROLLBACK of the whole transaction or to a savepoint.
 * - `commit`: one COMMIT, END or PREPARE TRANSACTION.
 * - `other`: one statement of another kind, like other DDL, CALL, VACUUM or COPY.
 * - `several`: possibly more than one statement.
 */
export type StatementKind = "atomic" | "control" | "rollback" | "commit" | "other" | "several"

/** A classified text. */
export interface Classified {
  readonly kind: StatementKind
  /** Whether a statement of the text may end a transaction block. False is certain. */
  readonly mayEndTransaction: boolean
  /**
   * Whether the text looks like one DO that ends no transaction, and so fits in a transaction block. This
   * proves nothing.
   */
  readonly looksAtomic?: boolean
  /** Set for a text that only ends the transaction, without starting another. */
  readonly end?: "COMMIT" | "ROLLBACK" | undefined
}

const plannable = new RegExp(
  String.raw`^[( \t\n\r\f]*(?:select|insert|update|delete|with|merge|values|table)${wordEnd}`,
  "i",
)
/** CREATE TABLE and similar commands, which outside a transaction block are one transaction. */
const schemaChange = new RegExp(
  `^(?:create|alter|drop|truncate|comment|grant|revoke|refresh|explain)${wordEnd}`,
  "i",
)
/**
 * Finds schema changes that commit by themselves. Each contains one of these words in plain letters, so their
 * absence is a proof (PostgreSQL 14 to 18, PreventInTransactionBlock; the last is TimescaleDB's).
 */
const holdsSelfCommitting = /concurrently|database|tablespace|subscription|system|timescaledb/i
/** One DO with a body in dollar quotes, inside which nothing is escaped. */
const doing = /^do[ \t\n\r\f]+\$/i
/**
 * Finds a DO that needs a transaction of its own. It must contain one of these words to end a transaction,
 * itself or by a procedure, or to configure one. This holds for PL/pgSQL; `language` covers other languages.
 */
const holdsTransactionControl = /commit|rollback|call|execute|transaction|isolation|language/i
const control = new RegExp(
  `^(?:begin|start|set|reset|show|savepoint|release|discard|deallocate|listen|unlisten)${wordEnd}`,
  "i",
)
const firstWord = /^[a-z]+/i
/** First words of a statement that ends a transaction. EXECUTE may run a COMMIT prepared by the protocol. */
const endings = "commit|end|rollback|abort|prepare|execute"
const isEnding = new RegExp(`^(?:${endings})$`, "i")
const holdsEnding = new RegExp(String.raw`(?<![a-z_\x80-\uffff])(?:${endings})${wordEnd}`, "i")

/**
 * Classifies a text. It errs on one side only: SQL separates statements by `;` alone, and the first words of
 * an end are written in plain letters, so their absence is a proof. Where they occur, even in a comment or a
 * literal, the caller leaves the decision to the server. A text in the extended protocol (`isExtended`) is
 * one statement, because PostgreSQL refuses any other.
 */
export function classify(text: string, isExtended: boolean): Classified {
  return typeormEnds.get(text) ?? classifyAny(text, isExtended)
}

function classifyAny(text: string, isExtended: boolean): Classified {
  const statement = trim(text)
  const word = firstWord.exec(statement)?.[0]
  // Without a first word there is a nested comment, a parenthesis, or nothing.
  const mayBeginWithEnd = word === undefined ? holdsEnding.test(statement) : isEnding.test(word)
  const end = mayBeginWithEnd ? leadingEnd(statement) : undefined
  if (typeof end === "object" && end.rest === "") return kindOfEnd(end)
  if (!isExtended && statement.includes(";")) return kindOfSeveral(statement, end)
  const kind = kindOfOne(statement)
  // PREPARE of a statement runs nothing.
  const isPreparing = end === undefined && word?.toLowerCase() === "prepare"
  const mayEndTransaction = kind === "other" && mayBeginWithEnd && !isPreparing
  const looksAtomic = kind === "other" && looksLikeAtomicDo(statement)
  return { kind, mayEndTransaction, looksAtomic }
}

function kindOfEnd({ kind, isChained }: TransactionEnd): Classified {
  const isCommit = kind === "commit" || kind === "prepare"
  const isWhole = (kind === "commit" || kind === "rollback") && !isChained
  return {
    kind: isCommit ? "commit" : "rollback",
    mayEndTransaction: isCommit,
    end: isWhole ? (isCommit ? "COMMIT" : "ROLLBACK") : undefined,
  }
}

function kindOfSeveral(statement: string, end: TransactionEnd | "uncertain" | undefined): Classified {
  // A rollback to a savepoint ends no transaction, and the rest contains no word that may.
  const isBack = typeof end === "object" && end.kind === "rollback to" && !holdsEnding.test(end.rest)
  const mayEndTransaction = !isBack && holdsEnding.test(statement)
  const looksAtomic = !isBack && looksLikeAtomicDo(statement)
  return { kind: "several", mayEndTransaction, looksAtomic }
}

function looksLikeAtomicDo(statement: string): boolean {
  return doing.test(statement) && !holdsTransactionControl.test(statement)
}

function kindOfOne(statement: string): StatementKind {
  if (plannable.test(statement)) return "atomic"
  if (control.test(statement)) return "control"
  if (schemaChange.test(statement) && !holdsSelfCommitting.test(statement)) return "atomic"
  return "other"
}

const whiteSpace = new Set([" ", "\t", "\n", "\r", "\f"])

/**
 * Removes leading white space and comments, as PostgreSQL's lexer defines them, and trailing white space and
 * semicolons. Nested comments stay, which makes the text uncertain.
 */
function trim(text: string): string {
  let start = 0
  for (;;) {
    if (whiteSpace.has(text[start] ?? "")) start++
    else if (text.startsWith("--", start)) start = endOfLine(text, start)
    else if (text.startsWith("/*", start) && isPlainComment(text, start))
      start = text.indexOf("*/", start + 2) + 2
    else break
  }
  let end = text.length
  while (end > start && (text[end - 1] === ";" || whiteSpace.has(text[end - 1] ?? ""))) end--
  return text.slice(start, end)
}

function endOfLine(text: string, start: number): number {
  let end = start
  while (end < text.length && text[end] !== "\n" && text[end] !== "\r") end++
  return end
}

function isPlainComment(text: string, start: number): boolean {
  const end = text.indexOf("*/", start + 2)
  const nested = text.indexOf("/*", start + 2)
  return end !== -1 && (nested === -1 || nested > end)
}

/**
 * The two texts with which TypeORM ends a transaction. The lookup takes a tenth of the time of classifying
 * them.
 */
const typeormEnds = new Map(["COMMIT", "ROLLBACK"].map((text) => [text, classifyAny(text, false)]))

/** Finds a text that may remove prepared statements of its session, except by a function. */
const removesPrepared = /deallocate|discard/i

/** Whether a text may remove prepared statements of its session, and with them those of this package. */
export function mayForgetPrepared(kind: StatementKind, text: string): boolean {
  return kind !== "atomic" && removesPrepared.test(text)
}
