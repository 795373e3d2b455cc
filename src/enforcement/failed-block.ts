import { MaintenanceSetupError } from "../errors"
import { noCompany, type PipelinedQuery } from "../wire/pipelined-query"
import type { Result } from "../wire/protocol"
import type { Session } from "../wire/session"
import { isOfSeveral } from "./request"
import { leadingEnd, type TransactionEnd } from "./transaction-end"

const unclear =
  "The text of several statements was not run, because the transaction has failed, and it is uncertain whether the text " +
  "ends it and then goes on. Send the ROLLBACK by itself, and then the other statements."

/**
 * The transaction end with which a text of several statements may begin, so that the rest runs outside the
 * failed block. Undefined if PostgreSQL certainly refuses the whole text there. A single statement is
 * harmless: it can end the block, but commit nothing.
 */
export function exitOf(text: string): TransactionEnd | "uncertain" | undefined {
  const end = leadingEnd(text)
  // Run again outside, it would prepare a transaction, whereas in the failed block it rolled back.
  return typeof end === "object" && end.kind === "prepare" ? "uncertain" : end
}

/**
 * Runs the transaction end with which a text of several statements begins, by itself. The whole text can then
 * run like any other. The end runs twice, which is harmless: the second has nothing to undo. If the text has
 * a syntax error, rejects with it and runs nothing, so that the block stays as it is.
 */
export async function runExit(
  session: Session,
  text: string,
  { text: end }: TransactionEnd,
): Promise<Result> {
  await session.send(session.statement(text), noCompany).catch((error: unknown) => {
    if (!isOfSeveral(error)) throw error
  })
  await session.ready()
  const result = await session.send(session.statement(end))
  await session.ready()
  return result
}

/** Runs a text that may begin with a transaction end, if PostgreSQL finds it to be one statement. */
export function runAsOne(session: Session, query: PipelinedQuery): Promise<Result> {
  return session.send(query, noCompany, (error) => {
    throw isOfSeveral(error) ? new MaintenanceSetupError(unclear, { cause: error }) : error
  })
}
