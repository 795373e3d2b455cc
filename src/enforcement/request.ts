import type { QueryResult } from "pg"
import type { Actor } from "../mode/actor"
import { codeOf } from "../sqlstate"
import type { PipelinedQuery } from "../wire/pipelined-query"
import type { Classified } from "./statement-kind"

/** A statement of a caller, with everything that decides how it is sent. */
export interface Request extends Classified {
  readonly query: PipelinedQuery
  readonly actor: Actor
}

/** Whether an error comes from the server and not from pg. If so, the server will soon be ready. */
export function isAnswer(error: unknown): boolean {
  return codeOf(error) !== ""
}

/** Whether PostgreSQL's parser found several commands. A mere syntax error has another routine. */
export function isOfSeveral(error: unknown): boolean {
  return (error as { routine?: string }).routine === "exec_parse_message"
}

/** Whether one of these statements began a transaction, by the server's command tags. */
export function startsTransaction(results: QueryResult[]): boolean {
  return results.some(({ command }) => command === "BEGIN" || command === "START")
}
