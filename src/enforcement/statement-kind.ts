import { leadingEnd, type TransactionEnd, wordEnd } from "./transaction-end"

/**
 * What a text can do to a transaction, as far as it is certain from the text alone:
 * - `atomic`: one statement that is done or undone as a whole, with its transaction: SELECT, INSERT, UPDATE, DELETE, MERGE,
 *   VALUES, TABLE, or a change of the schema that runs in a transaction block. It cannot end a transaction.
 * - `control`: one statement that starts or marks a transaction, or is about the session. It commits nothing.
 * - `rollback`: one ROLLBACK of the whole transaction or to a savepoint.
 * - `commit`: one COMMIT, END or PREPARE TRANSACTION.
 * - `other`: one statement that is none of these, like DDL, CALL, VACUUM, COPY.
 * - `several`: perhaps more than one statement.
 */
export type StatementKind = "atomic" | "control" | "rollback" | "commit" | "other" | "several"

/** A classified text. */
export interface Classified {
  readonly kind: StatementKind
  /** Whether a statement of the text may end a transaction block. False is certain. */
  readonly mayEndTransaction: boolean
  /** Whether it looks like one DO that ends no transaction, and so fits in a transaction block. That proves nothing. */
  readonly looksAtomic?: boolean
  /** Set for a text that does nothing but end the transaction, without starting another. */
  readonly end?: "COMMIT" | "ROLLBACK" | undefined
}

const plannable = new RegExp(
  String.raw`^[( \t\n\r\f]*(?:select|insert|update|delete|with|merge|values|table)${wordEnd}`,
  "i",
)
/** CREATE TABLE and the like, which outside of a transaction block are one transaction of their own. */
const schemaChange = new RegExp(
  `^(?:create|alter|drop|truncate|comment|grant|revoke|refresh|explain)${wordEnd}`,
  "i",
)
/**
 * What those that commit by themselves hold in plain letters (PostgreSQL 14 to 18, PreventInTransactionBlock; the last is
 * TimescaleDB's): the absence of these words is a proof.
 */
const holdsSelfCommitting = /concurrently|database|tablespace|subscription|system|timescaledb/i
/** One DO with a body in dollar quotes, in which nothing is written otherwise than it is meant. */
const doing = /^do[ \t\n\r\f]+\$/i
/**
 * By what a DO may do what needs a transaction of its own: end one, itself or by a procedure, or set one up; in PL/pgSQL,
 * not in another language.
 */
const holdsTransactionControl = /commit|rollback|call|execute|transaction|isolation|language/i
const control = new RegExp(
  `^(?:begin|start|set|reset|show|savepoint|release|discard|deallocate|listen|unlisten)${wordEnd}`,
  "i",
)
const firstWord = /^[a-z]+/i
/** The words that begin a statement which ends a transaction: EXECUTE may run a COMMIT that the protocol prepared. */
const endings = "commit|end|rollback|abort|prepare|execute"
const isEnding = new RegExp(`^(?:${endings})$`, "i")
const holdsEnding = new RegExp(String.raw`(?<![a-z_\x80-\uffff])(?:${endings})${wordEnd}`, "i")

/**
 * Tells what is certain from a text. It errs on one side only: SQL separates statements by `;` alone, and the
 * words that begin an end are written in plain letters, so their absence is a proof; where they occur, be it in a comment
 * or a literal, the caller has the server decide. A text sent by the extended protocol (`isExtended`) is one statement,
 * because PostgreSQL refuses any other.
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
  // Going back to a savepoint ends no transaction, and what follows holds no word that may.
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
 * The text without white space and comments before it, as PostgreSQL's lexer takes them, and without white space and
 * semicolons after it. A comment within a comment is left where it is, to be uncertain.
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

/** The two texts with which TypeORM ends a transaction: a tenth of what reading them takes. */
const typeormEnds = new Map(["COMMIT", "ROLLBACK"].map((text) => [text, classifyAny(text, false)]))
