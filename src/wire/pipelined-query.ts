import type { PreparedNames, ProtocolConnection, QueryClass, QueryLike, Statement, Step } from "./protocol"

/** Where a pipelined query failed: at a step of ours, at the statement, or as Sync ended the transaction. */
export type Failure = Step | "statement" | "end"

/** A statement that is sent together with others under one Sync, so that all share one round trip. */
export interface PipelinedQuery extends QueryLike {
  /** Set when it failed, before the error is handed on. */
  readonly failure: Failure | undefined
}

/** What is sent with the statement; an error anywhere skips all that follows up to the Sync. */
export interface Companions {
  readonly before?: readonly Step[]
  readonly after?: readonly Step[]
}

/** Makes pipelined queries for one copy of `pg`. */
export type PipelinedQueryClass = new (
  statement: Statement,
  values: unknown[] | undefined,
  companions: Companions & { readonly prepared: PreparedNames },
) => PipelinedQuery

/**
 * A subclass of pg's `Query` that sends other statements before and after its own under one Sync. Outside a
 * transaction block all of them are one implicit transaction, which an error in any rolls back whole. Only the
 * statement's own rows are kept. Relies on `prepare` and `_getRows` of pg 8.11 to 8.23, which write Parse, Bind, Describe
 * and then Execute, Sync.
 */
export function pipelinedQueryClass(Query: QueryClass): PipelinedQueryClass {
  return class extends Query implements PipelinedQuery {
    failure: Failure | undefined
    readonly #before: readonly Step[]
    readonly #after: readonly Step[]
    readonly #prepared: PreparedNames
    /** How many of the parts the server has completed: the steps before, the statement, the steps after. */
    #completed = 0

    constructor(
      statement: Statement,
      values: unknown[] | undefined,
      { before = [], after = [], prepared }: Companions & { readonly prepared: PreparedNames },
    ) {
      super(statement, values)
      this.#before = before
      this.#after = after
      this.#prepared = prepared
    }

    override requiresPreparation(): boolean {
      return true
    }

    override prepare(connection: ProtocolConnection): void {
      for (const step of this.#before) sendStep(connection, step, this.#prepared)
      super.prepare(connection)
    }

    override _getRows(connection: ProtocolConnection): void {
      connection.execute({ portal: this.portal })
      for (const step of this.#after) sendStep(connection, step, this.#prepared)
      connection.sync()
    }

    override handleRowDescription(message: object): void {
      if (this.#isAtStatement) super.handleRowDescription(message)
    }

    override handleDataRow(message: object): void {
      if (this.#isAtStatement) super.handleDataRow(message)
    }

    override handleCommandComplete(message: object, connection: ProtocolConnection): void {
      if (this.#isAtStatement) super.handleCommandComplete(message, connection)
      this.#complete()
    }

    override handleEmptyQuery(connection: ProtocolConnection): void {
      super.handleEmptyQuery(connection)
      this.#complete()
    }

    override handleError(error: Error, connection: ProtocolConnection): void {
      this.failure = this.#part
      super.handleError(error, connection)
    }

    get #isAtStatement(): boolean {
      return this.#completed === this.#before.length
    }

    get #part(): Failure {
      if (this.#isAtStatement) return "statement"
      return this.#before[this.#completed] ?? this.#after[this.#completed - this.#before.length - 1] ?? "end"
    }

    #complete(): void {
      const part = this.#part
      if (typeof part === "object" && part.name) this.#prepared.add(part.name)
      this.#completed++
    }
  }
}

/** Writes a statement without describing it: its rows, if any, arrive unannounced and are dropped. */
export function sendStep(
  connection: ProtocolConnection,
  { name, text, values }: Step,
  prepared: PreparedNames,
): void {
  const statement = name ?? ""
  if (!name || !prepared.has(name)) {
    // A name may have been taken by a Parse whose transaction failed: statements outlive transactions.
    if (name) connection.close({ type: "S", name })
    connection.parse({ text, name: statement })
  }
  connection.bind({
    statement,
    values: values.map((value) => (value === null || typeof value === "string" ? value : String(value))),
  })
  connection.execute({})
}
