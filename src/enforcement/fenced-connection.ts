import type { RefusedChange } from "../errors"
import type { Actor } from "../mode/mode"
import { rawClientKey } from "../state/migration"
import type { Escort } from "../wire/accompanied-query"
import type { PipelinedQuery, PipelinedQueryClass } from "../wire/pipelined-query"
import type { ForeignQuery, Result, Statement, Step, WireClient } from "../wire/protocol"
import { Session } from "../wire/session"
import { Checkpoint, type CheckpointOwner } from "./checkpoint"
import type { Fence } from "./fence"
import type { Request } from "./request"
import { SelfCommitting } from "./self-committing"
import { classify, type Classified } from "./statement-kind"

/** What a fenced connection needs to know of the installation. */
export interface Enforcement {
  readonly fence: Fence
  readonly PipelinedQuery: PipelinedQueryClass
  /** Whom the running code acts for; throws MaintenanceSetupError if the application cannot say. */
  actor(): Actor
  /** Tells the listeners of a refusal; returns the error, to be thrown. */
  refused(error: unknown): unknown
}

type Callback = (error: unknown, result?: unknown) => void

/** A query object that hides its text may be anything. */
const unknownText: Classified = { kind: "several", mayEndTransaction: true, mayBeginWithEnd: true }
const nobody: Actor = { user: undefined, isEmergency: false }

/**
 * A physical connection to PostgreSQL on which nothing commits without having passed the fence. It takes the
 * statements in the order of the calls, one at a time, and decides by the server's own transaction status how each
 * is sent. Everything else of the `pg` client is as it was.
 */
export class FencedConnection implements CheckpointOwner {
  /** The client to hand out in place of the raw one. */
  readonly client: WireClient
  readonly session: Session
  readonly fence: Fence
  /** Names the ORM's changes of the running transaction; set by the query runner that uses the connection. */
  changes: () => readonly RefusedChange[] = () => []
  /** Whether TypeORM is looking at the server as it starts, for which every mode allows it to read. */
  isStartingUp = false
  readonly #enforcement: Enforcement
  readonly #checkpoint: Checkpoint
  readonly #selfCommitting: SelfCommitting
  #isRetired = false

  constructor(raw: WireClient, enforcement: Enforcement) {
    this.session = new Session(raw, enforcement.PipelinedQuery)
    this.fence = enforcement.fence
    this.#enforcement = enforcement
    this.#checkpoint = new Checkpoint(this)
    this.#selfCommitting = new SelfCommitting(this, this.#checkpoint)
    const replaced: Record<string | symbol, unknown> = { query: this.query.bind(this), [rawClientKey]: raw }
    this.client = new Proxy(raw, {
      get: (target, property) => replaced[property] ?? Reflect.get(target, property),
    })
  }

  /** As `client.query()` of pg, in all its forms. */
  query(statement: Statement | ForeignQuery, values?: unknown, callback?: unknown): unknown {
    if (this.#isRetired || statement === null || statement === undefined) {
      return this.session.raw.query(statement as Statement, values, callback)
    }
    if (isForeign(statement)) return this.#queryForeign(statement, values, callback)
    const givenCallback = [values, callback, (statement as { callback?: unknown }).callback].find(isCallback)
    // Made now, so that what is sent in its turn is what was classified.
    const query = this.session.statement(statement, Array.isArray(values) ? (values as unknown[]) : undefined)
    const result = this.#request(query)
    if (!givenCallback) return result
    result.then(
      (value) => process.nextTick(givenCallback, null, value),
      (error) => process.nextTick(givenCallback, error),
    )
    return undefined
  }

  /** Tells of a refusal; returns the error, to be thrown. */
  refused(error: unknown): unknown {
    return this.#enforcement.refused(error)
  }

  /** Stops enforcing, and leaves no listener on the client. */
  retire(): void {
    this.#isRetired = true
    this.session.dispose()
  }

  /**
   * Rolls back whatever was left open, so that nobody else ends it; to be called before others get the connection.
   * Rejects if that cannot be: then the connection is to be closed.
   */
  async clean(): Promise<void> {
    const { session } = this
    this.changes = () => []
    if (session.isForeignActive) throw new Error("A query object was abandoned on this connection.")
    if (session.isBusy || !session.is("I")) await this.#inTurn(() => session.rollBack())
  }

  /** Whether the connection can be handed on as it is. */
  get isClean(): boolean {
    return !this.session.isBusy && this.session.is("I")
  }

  async #request(query: PipelinedQuery): Promise<Result> {
    const classified = classify(this.session.textOf(query) ?? "", query.isExtended)
    const { kind } = classified
    // What starts or ends a transaction is what its text says, not what the session keeps under its name.
    if (kind === "control" || kind === "commit" || kind === "rollback") query.forgetName()
    // Giving up is open to everybody, also if it is not known to whom.
    const actor = kind === "rollback" ? nobody : this.#actor()
    return this.#inTurn(() => this.#run({ query, actor, ...classified }))
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.session.inTurn(work, () => this.#settle())
  }

  async #settle(): Promise<void> {
    if (this.session.is("I")) await this.#checkpoint.unhold()
  }

  async #run(request: Request): Promise<Result> {
    const { session } = this
    const { query, kind, end } = request
    if (kind !== "rollback") this.#assertAdmitted(request.actor)
    const result = (kind === "control" && session.postpone(query.text)) || (end && session.forget(end))
    if (result) return result
    if (session.is("I")) return this.#runAlone(request)
    if (session.is("E")) return this.#runInFailed(request)
    return this.#runInTransaction(request)
  }

  /** Outside a transaction block: what a statement changes is committed with it. */
  #runAlone(request: Request): Promise<Result> {
    switch (request.kind) {
      case "plannable":
        return this.#checkpoint.send(
          request.query,
          { after: [this.#lastCheck(request.actor)] },
          request.actor,
        )
      case "other":
      case "several":
        return this.#selfCommitting.run(request)
      default:
        return this.session.send(request.query)
    }
  }

  /** In a failed block PostgreSQL refuses all but its end; what follows an end in the same text is alone. */
  async #runInFailed(request: Request): Promise<Result> {
    if (request.kind !== "several" || !request.mayBeginWithEnd) return this.session.send(request.query)
    await this.session.rollBack()
    return this.#selfCommitting.run(request)
  }

  /** Inside a transaction block: only its end is of interest, as long as exclusive mode would be known of. */
  async #runInTransaction(request: Request): Promise<Result> {
    const { session, fence } = this
    const { query, kind, actor } = request
    if (fence.isBlind && kind !== "control" && kind !== "rollback") await this.#checkpoint.admitReader(actor)
    if (!request.mayEndTransaction)
      return session.sendInBlock(query, kind === "plannable" || kind === "control")
    if (kind === "several") return this.#selfCommitting.run(request)
    try {
      return await this.#checkpoint.send(query, { before: [fence.check(actor)] }, actor)
    } catch (error) {
      // A COMMIT that fails leaves no transaction behind, whatever it failed for.
      if (kind === "commit") await session.rollBack()
      throw error
    }
  }

  #queryForeign(query: ForeignQuery, values: unknown, callback: unknown): ForeignQuery {
    const givenCallback = [values, callback].find(isCallback)
    if (givenCallback && !query.callback) query.callback = givenCallback
    this.#requestForeign(query).catch((error: Error) => query.handleError(error, this.session.raw.connection))
    return query
  }

  async #requestForeign(query: ForeignQuery): Promise<void> {
    const actor = this.#actor()
    const escort: Escort = { refuse: () => this.#refusalOf(actor) }
    await this.#inTurn(async () => {
      const { session, fence } = this
      // In its turn, just before it is sent: the object is the caller's, and may have changed.
      const text = session.textOf(query) ?? query.cursor?.text
      const classified = text === undefined ? unknownText : classify(text, false)
      const { kind, mayEndTransaction } = classified
      if (kind !== "rollback") this.#assertAdmitted(actor)
      if (kind === "control" || (kind === "rollback" && !session.is("I"))) return session.submit(query, {})
      if (session.is("I") && kind === "plannable") {
        const translate = (error: Error) => this.#checkpoint.refuse(error) as Error
        return session.submit(query, { ...escort, step: this.#lastCheck(actor), translate })
      }
      if (!session.is("I") && !mayEndTransaction) {
        if (fence.isBlind && session.is("T")) await this.#checkpoint.admitReader(actor)
        return session.submit(query, escort)
      }
      return this.#selfCommitting.submit(query, { ...classified, actor }, escort)
    })
  }

  #refusalOf(actor: Actor): Error | undefined {
    try {
      this.#assertAdmitted(actor)
      return undefined
    } catch (error) {
      return error as Error
    }
  }

  #actor(): Actor {
    try {
      return this.#enforcement.actor()
    } catch (error) {
      throw this.refused(error)
    }
  }

  #lastCheck(actor: Actor): Step {
    return this.isStartingUp ? this.fence.checkWrites(actor) : this.fence.check(actor)
  }

  #assertAdmitted(actor: Actor): void {
    if (this.isStartingUp) return
    try {
      this.fence.assertAdmitted(actor)
    } catch (error) {
      throw this.refused(error)
    }
  }
}

function isForeign(statement: object | string): statement is ForeignQuery {
  return typeof (statement as { submit?: unknown }).submit === "function"
}

function isCallback(value: unknown): value is Callback {
  return typeof value === "function"
}
