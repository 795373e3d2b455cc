import type { Escort } from "./accompanied-query"
import { notOurs, notSent } from "./copies"
import { ForeignRuns } from "./foreign-runs"
import { Packet } from "./packet"
import { type PipelinedQuery, type PipelinedQueryClass, resultOf } from "./pipelined-query"
import {
  type ForeignQuery,
  type Named,
  type Result,
  type Statement,
  type Step,
  type TransactionStatus,
  textOf,
  type WireClient,
} from "./protocol"
import { plainValues } from "./plain-values"
import { PostponedStart, type Sending } from "./postponed-start"
import { Seal } from "./seal"
import { ServerStatus } from "./server-status"
import { Submissions } from "./submissions"
import { Turns } from "./turns"

/** What a session needs of its owner. */
export interface SessionOwner {
  /** Whether steps may be kept prepared. */
  readonly isPrepared: boolean
  /** Called when the server is ready after each turn; what it returns is waited for before the next. */
  settle(): Promise<void> | undefined
}

type Failed = (error: unknown) => Promise<Result>

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
  readonly #server: ServerStatus
  readonly #turns: Turns
  readonly #foreign: ForeignRuns
  readonly #submissions: Submissions
  readonly #start = new PostponedStart((text) => this.step(text))
  readonly #fixed = new Map<string, Step>()

  /** `isNew` says that nobody has had the connection before. */
  constructor(raw: WireClient, PipelinedQuery: PipelinedQueryClass, owner: SessionOwner, isNew: boolean) {
    this.#raw = raw
    this.#server = new ServerStatus(raw, isNew, {
      unasked: () => this.destroy(),
      bound: () => void this.#packet.bound++,
    })
    const server = this.#server
    this.#turns = new Turns({
      get isReady() {
        return server.isReady
      },
      ready: () => server.ready(),
      settle: () => owner.settle(),
      before: () => (server.isKnown ? undefined : this.#askStatus()),
    })
    this.#query = raw.query.bind(raw)
    this.#submissions = new Submissions({
      query: this.#query,
      server,
      start: this.#start,
      rollBack: () => this.rollBack(),
      destroy: (error) => this.destroy(error),
    })
    this.#PipelinedQuery = PipelinedQuery
    this.#owner = owner
    this.#seal = new Seal(raw.connection, (text) => this.#submissions.intruded(notOurs(text)))
    if (server.isKnown) this.#seal.close()
    this.#packet = new Packet(raw.connection, this.#seal.passage)
    this.#foreign = new ForeignRuns({
      query: this.#query,
      passage: this.#seal.passage,
      ready: () => server.ready(),
      notSent: (text) => this.#submissions.intrusion ?? this.#submissions.intruded(notSent(text)),
    })
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
    return this.#server.isEnded
  }

  /** Whether this is the status, as the caller sees it: a postponed start has started. It is known in each turn. */
  is(status: TransactionStatus): boolean {
    return this.#server.isKnown && status === (this.#start.isPending ? "T" : this.#server.current)
  }

  /** Whether a query object of the caller runs, which may not end before the caller has it end. */
  get isForeignActive(): boolean {
    return this.#foreign.isActive
  }

  /** Whether that is about to end: it waits for the server's last answer. */
  get isForeignEnding(): boolean {
    return this.#foreign.isEnding
  }

  /** Whether pg has given up waiting for an answer (`query_timeout`) that has not come yet. */
  get isGivenUp(): boolean {
    return this.#submissions.isGivenUp
  }

  /** Whether something runs, or waits for its turn. */
  get isBusy(): boolean {
    return this.#turns.isBusy
  }

  /** A statement of the caller, fixed as it is now. */
  statement(statement: Statement, values?: unknown): PipelinedQuery {
    return new this.#PipelinedQuery(this.#packet, statement, values)
  }

  /** The text that a query object stands for, as far as it can be known; a name stands for what was parsed under it. */
  textOf(query: Named): string | undefined {
    return textOf(query, this.connection)
  }

  /** Ends the connection at once, with an error for what runs; PostgreSQL gives back what its session held. */
  destroy(error?: Error): void {
    this.#server.ended()
    this.connection.stream.destroy(error)
  }

  /** Leaves no listener on the client. */
  dispose(): void {
    this.#server.dispose()
    this.#seal.dispose()
  }

  /**
   * Runs the work when all that was asked for before is done, at once if nothing is; what comes after waits until the
   * server is ready, and the owner has settled.
   */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(work)
  }

  /** Resolves when the server has answered all that was sent, or will never. */
  ready(): Promise<void> {
    return this.#server.ready()
  }

  /** Postpones a text that starts a transaction, or sets up one not started yet; undefined if it is no such text. */
  postpone(text: string): Result | undefined {
    if (!this.#start.isPending && this.#server.current !== "I") return undefined
    const tag = this.#start.postpone(text)
    return tag === undefined ? undefined : resultOf(this.statement(""), tag)
  }

  /** Ends a transaction that the server has not heard of; undefined if it has. */
  forget(tag: "COMMIT" | "ROLLBACK"): Result | undefined {
    return this.#start.take() ? resultOf(this.statement(""), tag) : undefined
  }

  /**
   * Sends a statement; with companions, and with the postponed start of a transaction if it is certain to be one statement
   * (`isOne`), in one round trip. What the server, or pg, has against it goes to `failed`, with a stack that leads to the
   * caller; the query's `failure` tells where.
   */
  send(query: PipelinedQuery, sending: Sending = {}, failed: Failed = rethrow): Promise<Result> {
    if (this.#start.isApartFrom(sending)) {
      return this.#startNow().then(() => this.send(query, sending, failed))
    }
    return this.#submissions
      .submit(query, this.#start.with(sending), resolved)
      .catch((error) => failed(atCaller(error)))
  }

  /** As `send`, for the last statement of a turn; if it is the first, too, it saves a promise. */
  sendLast(query: PipelinedQuery, sending: Sending = {}, failed: Failed = rethrow): Promise<Result> {
    if (this.#start.isApartFrom(sending) || !this.#turns.leaveOpen()) return this.send(query, sending, failed)
    return this.#submissions
      .submit(query, this.#start.with(sending), this.#turns.done)
      .catch((error) => failed(atCaller(error)).then(this.#turns.done, this.#turns.failed))
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
    this.#submissions.forgetPrepared()
  }

  /** As `runAhead`, in the transaction that has begun for the caller. */
  async run<Row>(step: Step): Promise<Row[]> {
    if (this.#start.isPending) await this.#startNow()
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
    return this.#submissions
      .submit(this.statement(statement, values), undefined, resolved)
      .catch((error) => rethrow(atCaller(error)))
  }

  /** Hands a query object of the caller to pg; resolves when the server is done with it. */
  async submit(query: ForeignQuery, escort: Escort): Promise<void> {
    if (this.#start.isPending) await this.#startNow()
    await this.#foreign.run(query, escort)
  }

  /** Rolls back, if there is anything to roll back. */
  async rollBack(): Promise<void> {
    this.#start.take()
    await this.ready()
    if (this.#server.isEnded || this.#server.current === "I") return
    await this.sendAsIs("ROLLBACK")
    await this.ready()
  }

  /** The server says what the status is with each answer, also to nothing, also in a failed transaction. */
  async #askStatus(): Promise<void> {
    await this.run({ text: "", values: [] })
    await this.ready()
    this.#server.known()
    this.#seal.close()
  }

  /** Starts the postponed transaction by itself, before something that cannot share a round trip. */
  async #startNow(): Promise<void> {
    const { text } = this.#start.take() as Step
    await this.sendAsIs(text)
    await this.ready()
  }
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
