import { AccompaniedQuery, type Escort } from "./accompanied-query"
import { notOurs, notSent } from "./copies"
import { Packet } from "./packet"
import type { Companions, PipelinedQuery, PipelinedQueryClass } from "./pipelined-query"
import type {
  ForeignQuery,
  PreparedStatements,
  Result,
  Statement,
  Step,
  TransactionStatus,
  WireClient,
} from "./protocol"
import { plainValues } from "./plain-values"
import { Seal } from "./seal"
import { transactionStart } from "./transaction-start"

/** What a session needs of its owner. */
export interface SessionOwner {
  /** Whether steps may be kept prepared. */
  readonly isPrepared: boolean
  /** Called when the server is ready after each turn; what it returns is waited for before the next. */
  settle(): Promise<void> | undefined
}

/** How a statement is sent. */
interface Sending extends Companions {
  /** Whether it is certain to be one statement; with companions it has to be. */
  readonly isOne?: boolean
}

type Failed = (error: unknown) => Promise<Result>

/** PostgreSQL's code for a prepared statement that is not there. */
const forgotten = "26000"
/** How long the name of a prepared statement may be. */
const maxNameLength = 63

/**
 * One physical connection: its turns, its transaction status, and what is sent over it. A transaction's start is
 * postponed until its first statement, and shares a round trip with that.
 */
export class Session {
  readonly #raw: WireClient
  readonly #query: WireClient["query"]
  readonly #PipelinedQuery: PipelinedQueryClass
  readonly #owner: SessionOwner
  readonly #packet: Packet
  readonly #seal: Seal
  readonly #prepared: PreparedStatements = new Map()
  #status: TransactionStatus = "I"
  /** Whether that is what the server has said, and nothing is under way that was sent past this. */
  #isStatusKnown: boolean
  #isEnded = false
  #isTaken = false
  /** Whether a turn is just being begun: then it can be left to its one statement to end it. */
  #isBeginning = false
  #endsItself = false
  readonly #waiting: (() => void)[] = []
  /** The caller's query object that runs. */
  #foreign: AccompaniedQuery | undefined
  #isGivenUp = false
  /** What starts the transaction that has begun for the caller, but not yet for the server. */
  #postponed: Step | undefined
  /** The start that is sent with the statement that runs. */
  #starting: Step | undefined
  /** Why the connection was closed, if it was for what reached pg past this package. */
  #intrusion: Error | undefined
  /** Has the query that runs fail. */
  #fail: ((error: Error) => void) | undefined
  readonly #fixed = new Map<string, Step>()
  readonly #onReady = ({ status }: { status: TransactionStatus }) => {
    // Nobody asked for this: what belongs to what is not certain any more, so the connection is given up.
    if (this.#raw.readyForQuery) this.destroy()
    this.#status = status
  }
  readonly #onBound = () => void this.#packet.bound++
  readonly #onEnd = () => (this.#isEnded = true)

  /** `isNew` says that nobody has had the connection before. */
  constructor(raw: WireClient, PipelinedQuery: PipelinedQueryClass, owner: SessionOwner, isNew: boolean) {
    this.#raw = raw
    const told = raw.getTransactionStatus?.()
    this.#status = told ?? "I"
    this.#isStatusKnown = raw.readyForQuery ? Boolean(told) : isNew && !told
    this.#query = raw.query.bind(raw)
    this.#PipelinedQuery = PipelinedQuery
    this.#owner = owner
    this.#seal = new Seal(raw.connection, (text) => this.#intruded(notOurs(text)))
    if (this.#isStatusKnown) this.#seal.close()
    this.#packet = new Packet(raw.connection, this.#seal.passage)
    // Before pg's own listener, which calls back and may at once ask for the next statement.
    raw.connection.prependListener("readyForQuery", this.#onReady)
    raw.connection.on("bindComplete", this.#onBound)
    raw.once("end", this.#onEnd)
  }

  /** pg's own `query`, past all that this package does. */
  get rawQuery(): WireClient["query"] {
    return this.#query
  }

  /** pg's protocol object. */
  get connection(): WireClient["connection"] {
    return this.#raw.connection
  }

  /** Whether the server will answer no more. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Whether this is the status, as the caller sees it: a postponed start has started. It is known in each turn. */
  is(status: TransactionStatus): boolean {
    return this.#isStatusKnown && status === (this.#postponed ? "T" : this.#status)
  }

  /** Whether a query object of the caller runs, which may not end before the caller has it end. */
  get isForeignActive(): boolean {
    return this.#foreign !== undefined
  }

  /** Whether that is about to end: it waits for the server's last answer. */
  get isForeignEnding(): boolean {
    return this.#foreign?.isEnding === true
  }

  /** Whether pg has given up waiting for an answer (`query_timeout`) that has not come yet. */
  get isGivenUp(): boolean {
    return this.#isGivenUp && !this.#isReady
  }

  /** Whether something runs, or waits for its turn. */
  get isBusy(): boolean {
    return this.#isTaken
  }

  /** A statement of the caller, fixed as it is now. */
  statement(statement: Statement, values?: unknown): PipelinedQuery {
    return new this.#PipelinedQuery(this.#packet, statement, values)
  }

  /** The text that a query object stands for, as far as it can be known; a name stands for what was parsed under it. */
  textOf(query: {
    readonly text?: string | undefined
    readonly name?: string | undefined
  }): string | undefined {
    if (typeof query.text === "string") return query.text
    const { parsedStatements } = this.connection as { parsedStatements?: Record<string, string> }
    return query.name === undefined ? undefined : parsedStatements?.[query.name]
  }

  /** Ends the connection at once, with an error for what runs; PostgreSQL gives back what its session held. */
  destroy(error?: Error): void {
    this.#isEnded = true
    this.connection.stream.destroy(error)
  }

  /** Leaves no listener on the client. */
  dispose(): void {
    this.connection.removeListener("readyForQuery", this.#onReady)
    this.connection.removeListener("bindComplete", this.#onBound)
    this.#raw.removeListener("end", this.#onEnd)
    this.#seal.dispose()
  }

  /**
   * Runs the work when all that was asked for before is done, at once if nothing is; what comes after waits until the
   * server is ready, and the owner has settled.
   */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isTaken)
      return new Promise<void>((next) => this.#waiting.push(next)).then(() => this.#take(work))
    return this.#take(work)
  }

  /** Resolves when the server has answered all that was sent, or will never. */
  async ready(): Promise<void> {
    while (!this.#isReady) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.connection.removeListener("readyForQuery", done)
          this.#raw.removeListener("end", done)
          resolve()
        }
        this.connection.once("readyForQuery", done)
        this.#raw.once("end", done)
      })
    }
  }

  /** Postpones a text that starts a transaction, or sets up one not started yet; undefined if it is no such text. */
  postpone(text: string): Result | undefined {
    const postponed = this.#postponed
    if (!postponed && this.#status !== "I") return undefined
    const start = transactionStart(text, postponed !== undefined)
    if (!start) return undefined
    this.#postponed = this.step(`${postponed?.text ?? "START TRANSACTION"} ${start.modes}`.trimEnd())
    return this.#resultOf(start.tag)
  }

  /** Ends a transaction that the server has not heard of; undefined if it has. */
  forget(tag: "COMMIT" | "ROLLBACK"): Result | undefined {
    if (!this.#postponed) return undefined
    this.#postponed = undefined
    return this.#resultOf(tag)
  }

  /**
   * Sends a statement; with companions, and with the postponed start of a transaction if it is certain to be one statement
   * (`isOne`), in one round trip. What the server, or pg, has against it goes to `failed`, with a stack that leads to the
   * caller; the query's `failure` tells where.
   */
  send(query: PipelinedQuery, sending: Sending = {}, failed: Failed = rethrow): Promise<Result> {
    if (this.#isStartedApart(sending)) {
      return this.#start().then(() => this.send(query, sending, failed))
    }
    return this.#submit(query, this.#withStart(sending), resolved).catch((error) => failed(atCaller(error)))
  }

  /** As `send`, for the last statement of a turn; if it is the first, too, it saves a promise. */
  sendLast(query: PipelinedQuery, sending: Sending = {}, failed: Failed = rethrow): Promise<Result> {
    if (this.#isStartedApart(sending) || !this.#isBeginning) return this.send(query, sending, failed)
    this.#endsItself = true
    return this.#submit(query, this.#withStart(sending), this.#passDone as typeof resolved).catch((error) =>
      failed(atCaller(error)).then(this.#passDone as (result: Result) => Result, this.#failDone),
    )
  }

  /** A step for a text without values, the same each time. */
  step(text: string): Step {
    const known = this.#fixed.get(text)
    if (known) return known
    const name = `pipelined ${text}`
    const step = {
      ...(this.#owner.isPrepared && name.length <= maxNameLength ? { name } : {}),
      text,
      values: [],
    }
    if (step.name) this.#fixed.set(text, step)
    return step
  }

  /** Has all steps parsed anew: the session may have forgotten them. */
  forgetPrepared(): void {
    this.#prepared.clear()
  }

  /** As `runAhead`, in the transaction that has begun for the caller. */
  async run<Row>(step: Step): Promise<Row[]> {
    if (this.#postponed) await this.#start()
    return this.runAhead(step)
  }

  /**
   * Sends one statement of ours, ahead of a postponed start: as the first query of the transaction it would have SET TRANSACTION
   * come too late. Returns its rows, as `plainValues` reads them; they are to be text, for the application may have its own
   * values sent in binary.
   */
  async runAhead<Row>({ text, values }: Step): Promise<Row[]> {
    const query = { text, values: [...values], types: plainValues } as Statement
    return ((await this.sendAsIs(query)) as unknown as { rows: Row[] }).rows
  }

  /** Sends a statement by itself, as it is given. */
  sendAsIs(statement: Statement, values?: unknown): Promise<Result> {
    return this.#submit(this.statement(statement, values), undefined, resolved).catch((error) =>
      rethrow(atCaller(error)),
    )
  }

  /** Hands a query object of the caller to pg; resolves when the server is done with it. */
  async submit(query: ForeignQuery, escort: Escort): Promise<void> {
    if (this.#postponed) await this.#start()
    const translate = (error: Error, isOfStep: boolean) => {
      this.#foreign = undefined
      return escort.translate?.(error, isOfStep) ?? error
    }
    const accompanied = new AccompaniedQuery(query, { ...escort, translate }, this.#seal.passage)
    this.#foreign = accompanied
    try {
      // A promise is that of something that pg's client was patched with.
      await Promise.resolve(this.#query(accompanied)).catch(() => undefined)
      await Promise.race([this.ready(), accompanied.refused])
      await this.ready()
      // pg says a tick later why it does not send it, as in its pipeline mode.
      if (!accompanied.isTaken) await new Promise(setImmediate)
      if (!accompanied.isTaken)
        accompanied.handleError(this.#intrusion ?? this.#intruded(notSent(query.text)))
      await accompanied.conclude()
    } finally {
      this.#foreign = undefined
    }
  }

  /** Rolls back, if there is anything to roll back. */
  async rollBack(): Promise<void> {
    this.#postponed = undefined
    await this.ready()
    if (this.#isEnded || this.#status === "I") return
    await this.sendAsIs("ROLLBACK")
    await this.ready()
  }

  /** Whether a postponed start cannot share a round trip with what is sent. */
  #isStartedApart(sending: Sending): boolean {
    return this.#postponed !== undefined && !sending.isOne && !isAccompanied(sending)
  }

  get #isReady(): boolean {
    return this.#raw.readyForQuery || this.#isEnded
  }

  /** The server says what the status is with each answer, also to nothing, also in a failed transaction. */
  async #askStatus(): Promise<void> {
    await this.run({ text: "", values: [] })
    await this.ready()
    this.#isStatusKnown = true
    this.#seal.close()
  }

  #take<T>(work: () => Promise<T>): Promise<T> {
    this.#isTaken = true
    this.#endsItself = false
    this.#isBeginning = this.#isStatusKnown
    let result: Promise<T>
    try {
      result = this.#isStatusKnown ? work() : this.#askStatus().then(work)
    } catch (error) {
      result = Promise.reject(error)
    }
    this.#isBeginning = false
    if (this.#endsItself) return result
    // In one chain, and not as a second reaction: V8 follows no more than one to tell the caller's stack.
    return result.then(this.#passDone as (value: T) => T, this.#failDone)
  }

  readonly #passDone = (value: unknown): unknown => {
    const settled = this.#done()
    // Whoever gives the connection back now is to give it back at once, for the next to find it.
    return settled ? settled.then(() => value) : value
  }

  readonly #failDone = (error: unknown): never => {
    // Not kept back: the server may still be at work (query_timeout).
    void this.#done()
    throw error
  }

  #done(): Promise<void> | undefined {
    const settled = this.#isReady ? this.#owner.settle() : this.ready().then(() => this.#owner.settle())
    if (settled) return settled.then(this.#next, this.#next)
    this.#next()
    return undefined
  }

  readonly #next = (): void => {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#isTaken = false
  }

  /** Companions, with the postponed start before them. */
  #withStart(sending: Sending): Companions | undefined {
    const postponed = this.#postponed
    this.#starting = postponed
    if (!postponed) return isAccompanied(sending) ? sending : undefined
    this.#postponed = undefined
    return { ...sending, before: [postponed, ...(sending.before ?? [])] }
  }

  #submit(query: PipelinedQuery, companions: Companions | undefined, done: typeof resolved): Promise<Result> {
    const wasIdle = this.#status === "I"
    const start = companions?.before?.[0]
    this.#isGivenUp = false
    if (companions) query.accompany(companions, this.#prepared)
    return new Promise<Result>((resolve, reject) => {
      this.#fail = reject
      query.hand(this.#query, (error, result) => {
        if (!error && !query.isSent) return reject(this.#intruded(notSent(query.text)))
        if (!error) return resolve(done(result))
        this.#isGivenUp = !("code" in error)
        // pg has refused it: the transaction that it was to start begins with the next.
        if (start && start === this.#starting && !query.isSent) this.#postponed = start
        if (wasIdle && isForgotten(query, error)) resolve(this.#sendAnew(query, companions, done))
        else reject(error)
      })
    })
  }

  /** A step was not prepared any more, in what began outside a transaction: nothing has happened. */
  async #sendAnew(
    query: PipelinedQuery,
    companions: Companions | undefined,
    done: typeof resolved,
  ): Promise<Result> {
    this.#prepared.clear()
    await this.rollBack()
    const renewed = query.renew()
    try {
      return await this.#submit(renewed, companions, done)
    } finally {
      query.failure = renewed.failure
    }
  }

  /** Starts the postponed transaction by itself, before something that cannot share a round trip. */
  async #start(): Promise<void> {
    const { text } = this.#postponed as Step
    this.#postponed = undefined
    await this.sendAsIs(text)
    await this.ready()
  }

  /** Closes the connection for what reached pg past this package, or did not reach it: what runs fails of it. */
  #intruded(error: Error): Error {
    this.#intrusion = error
    this.destroy(error)
    this.#fail?.(error)
    return error
  }

  #resultOf(tag: string): Result {
    const query = this.statement("")
    const { _result } = query as unknown as {
      _result: Result & { addCommandComplete(message: object): void }
    }
    _result.addCommandComplete({ text: tag })
    return _result
  }
}

function isForgotten({ failure }: PipelinedQuery, error: Error): boolean {
  return typeof failure === "object" && (error as { code?: string }).code === forgotten
}

/** Whether a statement is to be sent by the extended protocol, be it with no companions. */
function isAccompanied({ before, after, as }: Companions): boolean {
  return before !== undefined || after !== undefined || as !== undefined
}

function resolved(result: Result): Result | Promise<Result> {
  return result
}

function rethrow(error: unknown): Promise<never> {
  return Promise.reject(error)
}

/** The error that the server, or pg, had; with a stack that leads to the caller, as pg makes it. */
function atCaller(error: unknown): unknown {
  if (error instanceof Error) Error.captureStackTrace(error)
  return error
}
