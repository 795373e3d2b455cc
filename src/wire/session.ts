import { AccompaniedQuery, type Escort } from "./accompanied-query"
import type { Companions, Failure, PipelinedQuery, PipelinedQueryClass } from "./pipelined-query"
import type {
  ForeignQuery,
  PreparedNames,
  Result,
  Statement,
  Step,
  TransactionStatus,
  WireClient,
} from "./protocol"
import { transactionStart } from "./transaction-start"

/** That something failed, and where. */
export class SendFailure extends Error {
  readonly failure: Failure
  override readonly cause: Error

  constructor(failure: Failure, cause: Error) {
    super(cause.message, { cause })
    this.failure = failure
    this.cause = cause
  }
}

/** Texts after which a session may have forgotten what it had prepared. */
const forgetting = /deallocate|discard/i

/**
 * One physical connection: its turns, its transaction status, and what is sent over it. A transaction's start is
 * postponed until its first statement, and shares a round trip with that.
 */
export class Session {
  readonly raw: WireClient
  readonly #PipelinedQuery: PipelinedQueryClass
  readonly #prepared: PreparedNames = new Set()
  #status: TransactionStatus = "I"
  #isEnded = false
  #turn: Promise<void> | undefined
  #waiting = 0
  #isForeignActive = false
  /** What starts the transaction that has begun for the caller, but not yet for the server. */
  #postponed: Step[] = []
  readonly #onReady = ({ status }: { status: TransactionStatus }) => {
    // Nobody asked for this: what belongs to what is not certain any more, so the connection is given up.
    if (this.raw.readyForQuery) this.destroy()
    this.#status = status
  }
  readonly #onEnd = () => (this.#isEnded = true)

  constructor(raw: WireClient, PipelinedQuery: PipelinedQueryClass) {
    this.raw = raw
    this.#PipelinedQuery = PipelinedQuery
    // Before pg's own listener, which calls back and may at once ask for the next statement.
    raw.connection.prependListener("readyForQuery", this.#onReady)
    raw.once("end", this.#onEnd)
  }

  /** Whether the server will answer no more. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Whether this is the status, as the caller sees it: a postponed start has started. */
  is(status: TransactionStatus): boolean {
    return status === (this.#postponed.length > 0 ? "T" : this.#status)
  }

  /** Whether a query object of the caller runs, which may not end before the caller has it end. */
  get isForeignActive(): boolean {
    return this.#isForeignActive
  }

  /** Whether something runs, or waits for its turn. */
  get isBusy(): boolean {
    return this.#waiting > 0
  }

  /** A statement of the caller, fixed as it is now. */
  statement(statement: Statement, values?: unknown[]): PipelinedQuery {
    return new this.#PipelinedQuery(statement, values)
  }

  /** The text that a query object stands for, as far as it can be known; a name stands for what was parsed under it. */
  textOf(query: {
    readonly text?: string | undefined
    readonly name?: string | undefined
  }): string | undefined {
    if (typeof query.text === "string") return query.text
    const { parsedStatements } = this.raw.connection as { parsedStatements?: Record<string, string> }
    return query.name === undefined ? undefined : parsedStatements?.[query.name]
  }

  /** Ends the connection at once; PostgreSQL gives back what its session held. */
  destroy(): void {
    this.#isEnded = true
    this.raw.connection.stream.destroy()
  }

  /** Leaves no listener on the client. */
  dispose(): void {
    this.raw.connection.removeListener("readyForQuery", this.#onReady)
    this.raw.removeListener("end", this.#onEnd)
  }

  /**
   * Runs the work when all that was asked for before is done, at once if nothing is; what comes after waits until the
   * server is ready, and `settle` is done.
   */
  inTurn<T>(work: () => Promise<T>, settle: () => Promise<void>): Promise<T> {
    const result = this.#turn ? this.#turn.then(work) : work()
    this.#waiting++
    this.#turn = result.then(ignore, ignore).then(async () => {
      await this.ready()
      await settle()
      if (--this.#waiting === 0) this.#turn = undefined
    })
    return result
  }

  /** Resolves when the server has answered all that was sent, or will never. */
  async ready(): Promise<void> {
    while (!this.raw.readyForQuery && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.raw.connection.removeListener("readyForQuery", done)
          this.raw.removeListener("end", done)
          resolve()
        }
        this.raw.connection.once("readyForQuery", done)
        this.raw.once("end", done)
      })
    }
  }

  /** Postpones a text that starts a transaction, or sets up one not started yet; undefined if it is no such text. */
  postpone(text: string): Result | undefined {
    const start = transactionStart(text, this.#postponed.length > 0)
    if (!start || (this.#postponed.length === 0 && this.#status !== "I")) return undefined
    this.#postponed.push({ text, values: [] })
    return this.#resultOf(start)
  }

  /** Ends a transaction that the server has not heard of; undefined if it has. */
  forget(tag: "COMMIT" | "ROLLBACK"): Result | undefined {
    if (this.#postponed.length === 0) return undefined
    this.#postponed = []
    return this.#resultOf(tag)
  }

  /** Sends a statement as pg itself would. */
  async send(query: PipelinedQuery): Promise<Result> {
    if (this.#postponed.length > 0) await this.#start()
    this.#noteForgetting(query)
    try {
      return await this.#submit(query)
    } catch (error) {
      throw atCaller(error)
    }
  }

  /** Sends a statement of a transaction; together with the postponed start, if it is one statement. */
  async sendInBlock(query: PipelinedQuery, isOne: boolean): Promise<Result> {
    if (this.#postponed.length === 0 || !isOne) return this.send(query)
    try {
      return await this.sendWith(query, {})
    } catch (error) {
      throw atCaller(error)
    }
  }

  /** Sends one statement of ours, and returns its rows. */
  async run<Row>({ text, values }: Step): Promise<Row[]> {
    if (this.#postponed.length > 0) await this.#start()
    return ((await this.raw.query(text, [...values])) as { rows: Row[] }).rows
  }

  /** Sends a statement with others in one round trip. Throws SendFailure. */
  async sendWith(query: PipelinedQuery, companions: Companions): Promise<Result> {
    this.#noteForgetting(query)
    const before = [...this.#postponed, ...(companions.before ?? [])]
    this.#postponed = []
    query.accompany({ ...companions, before }, this.#prepared)
    try {
      return await this.#submit(query)
    } catch (error) {
      if (!(error instanceof SendFailure) || !isForgotten(error)) throw error
      // A step was not prepared any more. Outside a transaction nothing has happened: once more, and parsed anew.
      this.#prepared.clear()
      await this.ready()
      if (!this.is("I") || before.length > 0) throw error
      query.accompany({ ...companions, before }, this.#prepared)
      return this.#submit(query)
    }
  }

  /** Hands a query object of the caller to pg; resolves when the server is done with it. */
  async submit(query: ForeignQuery, escort: Escort): Promise<void> {
    if (this.#postponed.length > 0) await this.#start()
    this.#isForeignActive = true
    try {
      const translate = (error: Error) => {
        this.#isForeignActive = false
        return escort.translate?.(error) ?? error
      }
      this.raw.query(new AccompaniedQuery(query, { ...escort, translate }))
      await this.ready()
    } finally {
      this.#isForeignActive = false
    }
  }

  /** Rolls back, if there is anything to roll back. */
  async rollBack(): Promise<void> {
    this.#postponed = []
    await this.ready()
    if (this.#isEnded || this.#status === "I") return
    await this.raw.query("ROLLBACK")
    await this.ready()
  }

  #submit(query: PipelinedQuery): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      query.callback = (error, result) =>
        error ? reject(new SendFailure(query.failure ?? "statement", error)) : resolve(result)
      this.raw.query(query)
    })
  }

  /** Starts the postponed transaction by itself, before something that cannot share a round trip. */
  async #start(): Promise<void> {
    const text = this.#postponed.map((step) => step.text).join("; ")
    this.#postponed = []
    await this.raw.query(text)
    await this.ready()
  }

  #noteForgetting({ text }: PipelinedQuery): void {
    if (forgetting.test(text ?? "")) this.#prepared.clear()
  }

  #resultOf(tag: string): Result {
    const query = new this.#PipelinedQuery("")
    const { _result } = query as unknown as {
      _result: Result & { addCommandComplete(message: object): void }
    }
    _result.addCommandComplete({ text: tag })
    return _result
  }
}

/** The error that the server, or pg, had; with a stack that leads to the caller, as pg makes it. */
export function atCaller(error: unknown): unknown {
  if (!(error instanceof SendFailure)) return error
  Error.captureStackTrace(error.cause)
  return error.cause
}

function ignore(): void {}

/** Whether a step failed because the session had forgotten it. */
function isForgotten({ failure, cause }: SendFailure): boolean {
  return (
    typeof failure === "object" && failure.name !== undefined && (cause as { code?: string }).code === "26000"
  )
}
