import type { QueryResult } from "pg"
import type { Actor } from "../mode/actor"
import type { PipelinedQuery } from "../wire/pipelined-query"
import type { Classified } from "./statement-kind"

/** A statement of a caller, with everything that decides how it is sent. */
export interface Request extends Classified {
  readonly query: PipelinedQuery
  readonly actor: Actor
}

/** The SQLSTATE of an error, or an empty string. */
export function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? ""
}

/** Whether an error comes from the server and not from pg. If so, the server will soon be ready. */
export function isAnswer(error: unknown): boolean {
  return codeOf(error) !== ""
}

/** PostgreSQL's code for a write in a read-only transaction. */
export const isReadOnly = "25006"

/** PostgreSQL's code for a missing portal: that of a check, after a statement that has closed all portals. */
export const noPortal = "34000"

/**
 * PostgreSQL's codes for the end of a session: terminated, shut down, crashed, or open or idle for too long.
 */
const endings = /^(?:57P01|57P02|57P03|57P05|25P03|25P04)$/

/** Whether an error ends its session. */
export function endsSession(error: unknown): boolean {
  return endings.test(codeOf(error))
}

/** Whether PostgreSQL's parser found several commands. A mere syntax error has another routine. */
export function isOfSeveral(error: unknown): boolean {
  return (error as { routine?: string }).routine === "exec_parse_message"
}

/** Whether one of these statements began a transaction, by the server's command tags. */
export function startsTransaction(results: QueryResult[]): boolean {
  return results.some(({ command }) => command === "BEGIN" || command === "START")
}
