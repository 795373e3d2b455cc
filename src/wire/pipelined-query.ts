import { randomUUID } from "node:crypto"
import { allowCopies, isCommented, rewritten } from "./copies"
import type { Packet } from "./packet"
import type {
  Field,
  PreparedStatements,
  ProtocolConnection,
  QueryClass,
  QueryLike,
  Result,
  Statement,
  Step,
  WireClient,
} from "./protocol"
import { RowShapes } from "./row-shapes"

/**
 * The part at which a pipelined query failed: a step of ours, the statement, or the end of the transaction at
 * Sync.
 */
export type Failure = Step | "statement" | "end"

/** Steps that are sent with the statement. An error in any of them skips everything up to the Sync. */
export interface Companions {
  readonly before?: readonly Step[]
  readonly after?: readonly Step[]
  /** Sent instead of the statement: the same statement, prepared. It must return no rows. */
  readonly as?: Step | undefined
  /** Whether to bind the later steps after the statement as well, for a statement that closes all portals. */
  readonly bindsLate?: boolean
}

/** Empty companions. They make a text use the extended protocol, which takes no more than one statement. */
export const noCompany: Companions = { after: [] }

/** A statement, fixed at the time of the call, that can be sent together with others under one Sync. */
export interface PipelinedQuery extends QueryLike {
  /** Set on failure, before the error is delivered. */
  failure: Failure | undefined
  /** Whether any part of it was sent; false if pg rejects it. */
  readonly isSent: boolean
  /** Whether it is sent by the extended protocol, in which PostgreSQL takes only one statement. */
  readonly isExtended: boolean
  /** Sends it by the extended protocol, with companions. To be called before it is handed to pg. */
  accompany(companions: Companions, prepared: PreparedStatements): void
  /** Hands it to pg through this function. If it has been rewritten when pg submits it, it fails. */
  hand(query: WireClient["query"], callback: NonNullable<QueryLike["callback"]>): void
  /** Drops its name, under which the session might run another statement. */
  forgetName(): void
  /** Returns the same statement, to be sent again. */
  renew(): PipelinedQuery
}

/** Makes pipelined queries for one copy of `pg`. */
export type PipelinedQueryClass = new (
  packet: Packet,
  statement: Statement,
  values?: unknown,
) => PipelinedQuery

const none: readonly Step[] = []

/** Random, because a cursor of the application may have any fixed name. */
const portalPrefix = `maintenance ${randomUUID()}`

/** Returns the name of the portal for a step after the statement. */
function portalOf(index: number): string {
  return `${portalPrefix} ${index}`
}

/**
 * Makes a subclass of pg's `Query` that sends other statements before and after its own under one Sync.
 *
 * Outside a transaction block, all of them are one implicit transaction, which an error in any rolls back
 * completely. Only the statement's own rows are kept. It relies on `prepare` and `_getRows` of pg 8.11 to
 * 8.23, which write Parse, Bind, Describe and then Execute, Sync.
 */
export function pipelinedQueryClass(Query: QueryClass): PipelinedQueryClass {
  const rowShapes = new RowShapes()
  return class extends Query implements PipelinedQuery {
    failure: Failure | undefined
    isSent = false
    /** Read by pg's client, as from a config object. */
    readonly query_timeout: number | undefined
    readonly isExtended: boolean
    readonly #packet: Packet
    readonly #statement: Statement
    #before = none
    #after = none
    #as: Step | undefined
    #bindsLate = false
    #prepared: PreparedStatements | undefined
    #name: string | undefined
    /** The text as it was handed to pg. */
    #text: string | undefined
    /** Number of parts that the server has completed: the steps before, the statement, the steps after. */
    #completed = 0
    /** Number of statements that the server had bound before. */
    #boundBefore = 0

    constructor(packet: Packet, statement: Statement, values?: unknown) {
      super(statement, values)
      this.#packet = packet
      this.#statement = statement
      // Copied, so that it stays as it was when the statement was classified.
      if (Array.isArray(this.values)) this.values = [...this.values]
      // All rows at once: pg would send a Sync of its own for each portion.
      this.rows = undefined
      this.query_timeout = (statement as { query_timeout?: number }).query_timeout
      // Decided once: a text classified as one statement must not be sent as several, whatever changes.
      this.isExtended = super.requiresPreparation()
      if (this.name !== undefined) this.#hideName()
      allowCopies(this)
    }

    accompany(
      { before = none, after = none, as, bindsLate = false }: Companions,
      prepared: PreparedStatements,
    ): void {
      this.#before = before
      this.#after = after
      this.#as = as
      this.#bindsLate = bindsLate
      this.#prepared = prepared
    }

    hand(query: WireClient["query"], callback: NonNullable<QueryLike["callback"]>): void {
      this.#text = this.text
      this.callback = callback
      const handed = query(this)
      if (handed !== this) void this.#failWith(handed)
    }

    /** Fails with the promise that code patching pg's client has returned. */
    async #failWith(handed: unknown): Promise<void> {
      try {
        await handed
      } catch (error) {
        this.callback?.(error as Error, undefined as never)
      }
    }

    forgetName(): void {
      this.#name = undefined
    }

    renew(): PipelinedQuery {
      const { text, values } = this
      const Again = this.constructor as PipelinedQueryClass
      const statement =
        typeof this.#statement === "string" ? text : { ...this.#statement, text, name: this.#name }
      return new Again(this.#packet, statement as Statement, values)
    }

    override requiresPreparation(): boolean {
      return this.#prepared !== undefined || this.isExtended
    }

    override submit(): Error | null {
      if (this.text !== this.#text && !isCommented(this.text, this.#text ?? "")) return rewritten(this.text)
      this.#boundBefore = this.#packet.bound
      try {
        const error = super.submit(this.#packet.messages)
        this.isSent = !error
        return error
      } finally {
        this.#packet.send()
      }
    }

    /**
     * Binds the later steps before the statement. If the session has forgotten one, that shows before
     * anything has happened.
     */
    override prepare(connection: ProtocolConnection): void {
      // Alone, it would use the simple protocol, which knows only text.
      if (!this.isExtended) this.binary = false
      for (const step of this.#before) this.#packet.addStep(step, this.#prepared as PreparedStatements)
      if (!this.#bindsLate) this.#bindAfter()
      if (this.#as) this._getRows(connection)
      else super.prepare(connection)
    }

    override _getRows(connection: ProtocolConnection): void {
      if (this.#as) this.#packet.addStep(this.#as, this.#prepared as PreparedStatements)
      else connection.execute({ portal: this.portal })
      if (this.#bindsLate) this.#bindAfter()
      for (const portal of this.#after.keys()) this.#packet.executeStep(portalOf(portal))
      connection.sync()
    }

    /** Sends another Sync: PostgreSQL skips a Sync where it expects the data of a COPY. */
    override handleCopyInResponse(connection: ProtocolConnection): void {
      super.handleCopyInResponse(connection)
      if (this.requiresPreparation()) connection.sync()
    }

    override handleRowDescription(message: { fields: Field[] }): void {
      if (!this.#isAtStatement) return
      // Without the comments that tracing adds, which differ each time.
      const text = this.#text
      // The second statement of a text has its own result.
      if (this._result.command !== null || typeof text !== "string")
        return super.handleRowDescription(message)
      if (rowShapes.describe(this._result, message.fields, text)) this._accumulateRows = true
      else rowShapes.learn(this._result, message.fields, text, () => super.handleRowDescription(message))
    }

    override handleDataRow(message: object): void {
      if (this.#isAtStatement) return super.handleDataRow(message)
      const part = this.#part
      if (typeof part === "object") part.called?.()
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
      // pg considers it parsed as soon as it is sent.
      if (this.#name !== undefined) delete connection?.submittedNamedStatements?.[this.#name]
      this.failure = this.#isAtStatement ? (this.#unbound ?? "statement") : this.#part
      super.handleError(error, connection)
      // Elastic APM ends its span by this event.
      if (this.listenerCount("error") > 0) this.emit("error", error)
    }

    /**
     * Hides the name outside the statement: pg attributes every ParseComplete to it, also those of the steps.
     */
    #hideName(): void {
      this.#name = this.name
      Object.defineProperty(this, "name", {
        get: () => (!this.isSent || (this.#isAtStatement && !this.#unbound) ? this.#name : undefined),
      })
    }

    #bindAfter(): void {
      for (const [index, step] of this.#after.entries())
        this.#packet.bindStep(step, portalOf(index), this.#prepared as PreparedStatements)
    }

    get #isAtStatement(): boolean {
      // Alone, it may be a text of several statements.
      return this.#prepared === undefined || this.#completed === this.#before.length
    }

    /** The step that the server could not bind, if the failure was there. */
    get #unbound(): Step | undefined {
      if (this.#bindsLate || this.#completed > this.#before.length) return undefined
      return this.#after[this.#packet.bound - this.#boundBefore - this.#before.length]
    }

    get #part(): Failure {
      if (this.#isAtStatement) return "statement"
      return this.#before[this.#completed] ?? this.#after[this.#completed - this.#before.length - 1] ?? "end"
    }

    #complete(): void {
      const part = this.#part
      const step = part === "statement" ? this.#as : part
      if (typeof step === "object" && step.name) this.#prepared?.set(step.name, step.text)
      this.#completed++
    }
  }
}

/**
 * Whether a text may have parameters without values. PostgreSQL's error for it differs between the extended
 * and the simple protocol.
 */
export function mayLackValues(query: PipelinedQuery): boolean {
  return !query.isExtended && /\$\d/.test(query.text)
}

/** Returns the result of a statement that is not sent, as if it had this command tag. */
export function resultOf(statement: PipelinedQuery, tag: string): Result {
  const { _result } = statement as unknown as {
    _result: Result & { addCommandComplete(message: object): void }
  }
  _result.addCommandComplete({ text: tag })
  return _result
}
