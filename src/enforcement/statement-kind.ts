/**
 * What a text can do to a transaction, as far as it is certain from the text alone:
 * - `plannable`: one SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES or TABLE. It cannot end a transaction.
 * - `control`: one statement that starts or marks a transaction, or is about the session. It commits nothing.
 * - `rollback`: one ROLLBACK of the whole transaction or to a savepoint.
 * - `commit`: one COMMIT or END.
 * - `other`: one statement of which the above is not certain, like DDL, CALL, VACUUM, COPY.
 * - `several`: perhaps more than one statement.
 */
export type StatementKind = "plannable" | "control" | "rollback" | "commit" | "other" | "several"

/** A classified text. */
export interface Classified {
  readonly kind: StatementKind
  /** Whether the text may hold a statement that ends a transaction. False is certain. */
  readonly mayEndTransaction: boolean
  /** Set for a text that does nothing but end the transaction, without starting another. */
  readonly end?: "COMMIT" | "ROLLBACK" | undefined
}

/** White space and comments as PostgreSQL's lexer takes them; a comment within a comment is left to be uncertain. */
const leading = /^(?:[ \t\n\r\f]|--[^\n\r]*[\n\r]|\/\*(?:[^*/]|\*(?!\/)|\/(?!\*))*\*\/)+/
const trailing = /[ \t\n\r\f;]+$/
const plannable =
  /^[( \t\n\r\f]*(?:select|insert|update|delete|with|merge|values|table)(?![a-z0-9_$\x80-\uffff])/i
const control =
  /^(?:begin|start|set|reset|show|savepoint|release|discard|deallocate|listen|unlisten)(?![a-z0-9_$\x80-\uffff])/i
const rollback =
  /^(?:rollback|abort)(?:\s+(?:work|transaction))?(?:\s+to(?:\s+savepoint)?\s+[a-z_][a-z0-9_]*)?$/i
const commit = /^(?:commit|end)(?:\s+(?:work|transaction))?(?:\s+and(?:\s+no)?\s+chain)?$/i
/** EXECUTE is among them, because a statement prepared by the protocol may be a COMMIT. */
const endings = /commit|end|rollback|abort|prepare|execute/i

/**
 * Tells what is certain from a text. It errs on one side only: SQL separates statements by `;` alone, and the
 * words that end a transaction are written in plain letters, so their absence is a proof; where they occur, be it in a
 * comment or a literal, the answer is `other` or `several`, and the caller has the server decide. A text sent by the
 * extended protocol (`isExtended`) is one statement, because PostgreSQL refuses any other.
 */
export function classify(text: string, isExtended: boolean): Classified {
  const statement = text.replace(leading, "").replace(trailing, "")
  if (!isExtended && statement.includes(";")) {
    return { kind: "several", mayEndTransaction: endings.test(statement) }
  }
  const kind = kindOfOne(statement)
  const mayEndTransaction = kind === "commit" || (kind === "other" && endings.test(statement))
  return { kind, mayEndTransaction, end: endOf(kind, statement) }
}

function endOf(kind: StatementKind, statement: string): "COMMIT" | "ROLLBACK" | undefined {
  if (kind === "commit" && !/chain/i.test(statement)) return "COMMIT"
  return kind === "rollback" && !/\sto\s/i.test(statement) ? "ROLLBACK" : undefined
}

function kindOfOne(statement: string): StatementKind {
  if (plannable.test(statement)) return "plannable"
  if (rollback.test(statement)) return "rollback"
  if (commit.test(statement)) return "commit"
  if (control.test(statement)) return "control"
  return "other"
}
