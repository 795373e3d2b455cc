import { MaintenanceSetupError } from "../errors"
import { noCompany, type PipelinedQuery } from "../wire/pipelined-query"
import type { Result } from "../wire/protocol"
import type { Session } from "../wire/session"
import { isOfSeveral } from "./request"
import { leadingEnd, type TransactionEnd } from "./transaction-end"

const unclear =
  "The transaction has failed, and this text of several statements may go on after its end, which cannot be told for certain: " +
  "so it was not run. Send the ROLLBACK by itself, and then the rest."

/**
 * The end with which a text of several statements may begin, and so go on outside the failed block; undefined if PostgreSQL
 * certainly refuses the whole of the text there. Of one statement nothing is to be feared: it can end the block, but
 * commit nothing.
 */
export function exitOf(text: string): TransactionEnd | "uncertain" | undefined {
  const end = leadingEnd(text)
  // Once more outside, it would prepare a transaction, where in the failed one it rolled back.
  return typeof end === "object" && end.kind === "prepare" ? "uncertain" : end
}

/**
 * Runs the end with which a text of several statements begins, by itself: then the whole text can be run as any other in
 * the state that this leaves. The end comes twice then, which changes nothing: the second has nothing to undo. Rejects
 * with what PostgreSQL has against the syntax of the text, of which nothing is run then: the block stays as it is.
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

/** Runs a text that may begin with an end, of which nothing more is certain, if PostgreSQL finds it to be one statement. */
export function runAsOne(session: Session, query: PipelinedQuery): Promise<Result> {
  return session.send(query, noCompany, (error) => {
    throw isOfSeveral(error) ? new MaintenanceSetupError(unclear, { cause: error }) : error
  })
}
