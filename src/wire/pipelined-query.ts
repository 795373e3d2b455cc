import type { ProtocolConnection, QueryClass, QueryLike, Statement, Step } from "./protocol"

/** The parts of a pipelined query in their order; `end` is the end of the transaction, which Sync brings about. */
export type Part = "before" | "statement" | "after" | "end"

/** A statement that is sent together with others under one Sync, so that all share one round trip. */
export interface PipelinedQuery extends QueryLike {
  /** Which part failed; set before the error is handed on. */
  readonly failedPart: Part | undefined
}

/** What is sent with the statement; an error in any part skips all that follow up to the Sync. */
export interface Companions {
  readonly before?: Step
  readonly after?: Step
}

/** Makes pipelined queries for one copy of `pg`. */
export type PipelinedQueryClass = new (
  statement: Statement,
  values: unknown[] | undefined,
  companions: Companions,
) => PipelinedQuery

/**
 * A subclass of pg's `Query` that sends other statements before and after its own under one Sync. Outside a
 * transaction block all of them are one implicit transaction, which an error in any rolls back whole. Only the
 * statement's own rows are kept. Relies on `prepare` and `_getRows` of pg 8.11 to 8.23, which write Parse, Bind, Describe
 * and then Execute, Sync.
 */
export function pipelinedQueryClass(Query: QueryClass): PipelinedQueryClass {
  return class extends Query implements PipelinedQuery {
    failedPart: Part | undefined
    readonly #companions: Companions
    #current: Part

    constructor(statement: Statement, values: unknown[] | undefined, companions: Companions) {
      super(statement, values)
      this.#companions = companions
      this.#current = companions.before ? "before" : "statement"
    }

    override requiresPreparation(): boolean {
      return true
    }

    override prepare(connection: ProtocolConnection): void {
      if (this.#companions.before) send(connection, this.#companions.before)
      super.prepare(connection)
    }

    override _getRows(connection: ProtocolConnection): void {
      connection.execute({ portal: this.portal })
      if (this.#companions.after) send(connection, this.#companions.after)
      connection.sync()
    }

    override handleRowDescription(message: object): void {
      if (this.#current === "statement") super.handleRowDescription(message)
    }

    override handleDataRow(message: object): void {
      if (this.#current === "statement") super.handleDataRow(message)
    }

    override handleCommandComplete(message: object, connection: ProtocolConnection): void {
      if (this.#current === "statement") super.handleCommandComplete(message, connection)
      this.#advance()
    }

    override handleEmptyQuery(connection: ProtocolConnection): void {
      super.handleEmptyQuery(connection)
      this.#advance()
    }

    override handleError(error: Error, connection: ProtocolConnection): void {
      this.failedPart = this.#current
      super.handleError(error, connection)
    }

    #advance(): void {
      this.#current =
        this.#current === "before" ? "statement" : this.#current === "statement" ? "after" : "end"
    }
  }
}

/** Writes a statement without describing it: its rows, if any, arrive unannounced and are dropped. */
export function send(connection: ProtocolConnection, { text, values }: Step): void {
  connection.parse({ text })
  connection.bind({ values: values.map((value) => (value === null ? null : String(value))) })
  connection.execute({})
}
