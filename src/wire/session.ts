import { atCaller } from "./at-caller"
import type { Escort } from "./escort"
import { notOurs, notSent } from "./copies"
import { SubmittableRuns } from "./submittable-runs"
import { Packet } from "./packet"
import { type PipelinedQuery, type PipelinedQueryClass, resultOf } from "./pipelined-query"
import {
  type Submittable,
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
import type { SessionOptions, SessionOwner } from "./session-options"
import { Submissions } from "./submissions"
import { Turns } from "./turns"

type Failed = (error: unknown) => Promise<Result>

/** Maximum length of a prepared statement's name. */
const maxNameLength = 63

/**
 * One physical connection: its turns, its transaction status, and the messages sent over it. The start of a
 * transaction is postponed until its first statement, and shares a round trip with it.
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
  readonly #submittables: SubmittableRuns
  readonly #submissions: Submissions
  readonly #start = new PostponedStart((text) => this.step(text))
  readonly #fixed = new Map<string, Step>()

  constructor(raw: WireClient, { PipelinedQuery, owner, isNew }: SessionOptions) {
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
    this.#submittables = new SubmittableRuns({
      query: this.#query,
      passage: this.#seal.passage,
      ready: () => server.ready(),
      notSent: (text) => this.#submissions.intrusion ?? this.#submissions.intruded(notSent(text)),
    })
  }

  /** pg's own `query`, past everything that this package does. */
  get rawQuery(): WireClient["query"] {
    return this.#query
  }

  /** pg's protocol object. */
  get connection(): WireClient["connection"] {
    return this.#raw.connection
  }

  /** Whether the server will send no further answers. */
  get isEnded(): boolean {
    return this.#server.isEnded
  }

  /**
   * Whether the caller sees this status: a postponed start counts as started. The status is known in each
   * turn.
   */
  is(status: TransactionStatus): boolean {
    return this.#server.isKnown && status === (this.#start.isPending ? "T" : this.#server.current)
  }

  /** Whether a submittable of the caller runs. It may not end before the caller ends it. */
  get isSubmittableActive(): boolean {
    return this.#submittables.isActive
  }

  /** Whether that submittable is about to end: it waits for the server's last answer. */
  get isSubmittableEnding(): boolean {
    return this.#submittables.isEnding
  }

  /** Whether pg has stopped waiting for an answer (`query_timeout`) that has not come yet. */
  get isGivenUp(): boolean {
    return this.#submissions.isGivenUp
  }

  /** Whether something runs, or waits for its turn. */
  get isBusy(): boolean {
    return this.#turns.isBusy
  }

  /** Makes a statement of the caller, fixed in its present form. */
  statement(statement: Statement, values?: unknown): PipelinedQuery {
    return new this.#PipelinedQuery(this.#packet, statement, values)
  }

  /**
   * Returns the text of a query object, as far as it can be known. A name stands for the text parsed under
   * it.
   */
  textOf(query: Named): string | undefined {
    return textOf(query, this.connection)
  }

  /**
   * Ends the connection at once, with an error for whatever runs. PostgreSQL releases what its session held.
   */
  destroy(error?: Error): void {
    this.#server.ended()
    this.connection.stream.destroy(error)
  }

  /** Removes all listeners from the client. */
  dispose(): void {
    this.#server.dispose()
    this.#seal.dispose()
  }

  /**
   * Runs the work after everything requested before; at once if there is nothing. Later work waits until the
   * server is ready and the owner has settled.
   */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(work)
  }

  /** Resolves when the server has answered everything that was sent, or never will. */
  ready(): Promise<void> {
    return this.#server.ready()
  }

  /**
   * Postpones a text that starts a transaction, or sets the modes of one that has not started yet; undefined
   * for any other text.
   */
  postpone(text: string): Result | undefined {
    if (!this.#start.isPending && this.#server.current !== "I") return undefined
    const tag = this.#start.postpone(text)
    return tag === undefined ? undefined : resultOf(this.statement(""), tag)
  }

  /** Ends a transaction that the server does not know of; undefined if it does. */
  forget(tag: "COMMIT" | "ROLLBACK"): Result | undefined {
    return this.#start.take() ? resultOf(this.statement(""), tag) : undefined
  }

  /**
   * Sends a statement in one round trip with its companions and, if it is certain to be one statement
   * (`isOne`), with the postponed start of a transaction. Errors of the server or of pg go to `failed`, with
   * a stack that leads to the caller. The query's `failure` tells which part failed.
   */
  send(query: PipelinedQuery, sending: Sending = {}, failed: Failed = rethrow): Promise<Result> {
    if (this.#start.isApartFrom(sending)) {
      return this.#startNow().then(() => this.send(query, sending, failed))
    }
    return this.#submissions
      .submit(query, this.#start.with(sending), resolved)
      .catch((error) => failed(atCaller(error)))
  }

  /**
   * Does the same as `send()` for the last statement of a turn. If it is also the first, this saves a
   * promise.
   */
  sendLast(query: PipelinedQuery, sending: Sending = {}, failed: Failed = rethrow): Promise<Result> {
    if (this.#start.isApartFrom(sending) || !this.#turns.leaveOpen()) return this.send(query, sending, failed)
    return this.#submissions
      .submit(query, this.#start.with(sending), this.#turns.done)
      .catch((error) => failed(atCaller(error)).then(this.#turns.done, this.#turns.failed))
  }

  /** Returns the step for a text without values, always the same one. */
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

  /** Makes all steps be parsed again, because the session may have forgotten them. */
  forgetPrepared(): void {
    this.#submissions.forgetPrepared()
  }

  /** Does the same as `runAhead()`, in the transaction that has begun for the caller. */
  async run<Row>(step: Step): Promise<Row[]> {
    if (this.#start.isPending) await this.#startNow()
    return this.runAhead(step)
  }

  /**
   * Sends a statement of ours ahead of a postponed start: as the first query of the transaction, it would
   * make SET TRANSACTION come too late. Returns its rows, parsed by `plainValues`. They must be text, because
   * the application may receive its own values in binary.
   */
  async runAhead<Row>({ text, values }: Step): Promise<Row[]> {
    const query = { text, values: [...values], types: plainValues } as Statement
    return ((await this.sendAsIs(query)) as unknown as { rows: Row[] }).rows
  }

  /** Sends a statement alone, as it is given. */
  sendAsIs(statement: Statement, values?: unknown): Promise<Result> {
    return this.#submissions
      .submit(this.statement(statement, values), undefined, resolved)
      .catch((error) => rethrow(atCaller(error)))
  }

  /** Hands a caller's submittable to pg; resolves when the server has finished it. */
  async submit(query: Submittable, escort: Escort): Promise<void> {
    if (this.#start.isPending) await this.#startNow()
    await this.#submittables.run(query, escort)
  }

  /** Rolls back, if there is anything to roll back. */
  async rollBack(): Promise<void> {
    this.#start.take()
    await this.ready()
    if (this.#server.isEnded || this.#server.current === "I") return
    await this.sendAsIs("ROLLBACK")
    await this.ready()
  }

  /**
   * Sends an empty statement, because the server reports the status with each answer, even in a failed
   * transaction.
   */
  async #askStatus(): Promise<void> {
    await this.run({ text: "", values: [] })
    await this.ready()
    this.#server.known()
    this.#seal.close()
  }

  /** Starts the postponed transaction separately, before a statement that cannot share a round trip. */
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
