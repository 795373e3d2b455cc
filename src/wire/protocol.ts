import type { EventEmitter } from "node:events"
import type { QueryConfig, QueryResult } from "pg"

/** The letter in every ReadyForQuery of PostgreSQL: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = "I" | "T" | "E"

/** A statement with its values, to be sent along with another. */
export interface Step {
  /** Name under which the session keeps it prepared. Without a name, it is parsed each time. */
  readonly name?: string
  readonly text: string
  readonly values: readonly (string | boolean | number | null)[]
  /** Called when it returns a row. */
  readonly called?: () => void
}

/** The steps that a session keeps prepared: their texts by name. */
export type PreparedStatements = Map<string, string>

/** The part of pg's protocol connection that this layer uses (pg 8.11 to 8.23, `lib/connection.js`). */
export interface ProtocolConnection extends EventEmitter {
  /** Sends a simple query. */
  query(text: string): void
  parse(message: { text: string; name?: string; types?: number[] }): void
  bind(message: { portal?: string; statement?: string; values: unknown[] }): void
  close(message: { type: "P" | "S"; name: string }): void
  describe(message: { type: "P" | "S"; name: string }): void
  execute(message: { portal?: string; rows?: number }): void
  flush(): void
  readonly stream: {
    readonly writable: boolean
    write(chunk: Buffer | undefined): unknown
    destroy(error?: Error): void
  }
  sync(): void
  /** Statements that were sent under a name and not answered yet; pg 8.16 and later. */
  readonly submittedNamedStatements?: Record<string, string>
}

/** The part of a `pg` client that this layer uses. */
export interface WireClient extends EventEmitter {
  readonly connection: ProtocolConnection
  /** Process id of the backend. */
  readonly processID?: number | null
  /** Whether the server has answered everything that was sent. */
  readonly readyForQuery: boolean
  /** Returns the server's last status; null before the first. Older releases of pg 8 lack this method. */
  getTransactionStatus?(): TransactionStatus | null
  query(query: object | string, values?: unknown, callback?: unknown): unknown
}

/**
 * A caller's submittable (pg-cursor, pg-query-stream, pg-copy-streams, pg's own `Query`), as pg's client
 * drives it.
 */
export interface Submittable {
  readonly text?: string
  readonly name?: string
  readonly values?: unknown
  readonly cursor?: { readonly text?: string }
  readonly read?: unknown
  readonly _result?: unknown
  binary?: unknown
  callback?: ((error: Error | undefined, result?: unknown) => void) | undefined
  submit(connection: ProtocolConnection): Error | null | undefined | void
  handleError(error: Error, connection: ProtocolConnection): void
}

/** A caller's statement, as given to `client.query()`. */
export type Statement = string | QueryConfig

/** One result, or several for a text of several statements. */
export type Result = QueryResult | QueryResult[]

/** A column, as the server describes it. */
export interface Field {
  readonly name: string
  readonly dataTypeID: number
  readonly format: string
}

/** The parts of pg's `Result` that build rows. */
export interface RowResult {
  command: string | null
  fields: Field[]
  _parsers: unknown[] | undefined
  readonly _types: { getTypeParser(oid: number, format: string): unknown } | undefined
  _prebuiltEmptyResultObject: object | null | undefined
  addFields(fields: Field[]): void
}

/** The parts of pg's `Query` on which PipelinedQuery builds. */
export interface QueryLike extends EventEmitter {
  readonly _result: RowResult
  _accumulateRows: unknown
  text: string
  name: string | undefined
  values: unknown[] | undefined
  rows: number | undefined
  submit(connection: ProtocolConnection): Error | null
  callback?: (error: Error | undefined, result: Result) => void
  portal: string
  binary?: unknown
  prepare(connection: ProtocolConnection): void
  _getRows(connection: ProtocolConnection, rows: number | undefined): void
  requiresPreparation(): boolean
  handleRowDescription(message: { fields: Field[] }): void
  handleDataRow(message: object): void
  handleCommandComplete(message: object, connection: ProtocolConnection): void
  handleEmptyQuery(connection: ProtocolConnection): void
  handleCopyInResponse(connection: ProtocolConnection): void
  handleError(error: Error, connection: ProtocolConnection): void
}

/** The class `Query` of the `pg` that the DataSource uses. */
export type QueryClass = new (statement: Statement, values?: unknown) => QueryLike

/** A query object with its text, or a name under which a text was parsed. */
export interface Named {
  readonly text?: string | undefined
  readonly name?: string | undefined
}

/** Returns the text of a query object, as far as it can be known. */
export function textOf({ text, name }: Named, connection: WireClient["connection"]): string | undefined {
  if (typeof text === "string") return text
  const { parsedStatements } = connection as { parsedStatements?: Record<string, string> }
  return name === undefined ? undefined : parsedStatements?.[name]
}
