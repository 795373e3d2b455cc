import { MaintenanceError } from "../errors"
import type { RefusedChange } from "../mode/refused-change"
import { isSettingUp } from "../identity/current-actor"
import type { Actor } from "../mode/actor"
import { rawClientKey } from "./migration"
import type { PipelinedQuery } from "../wire/pipelined-query"
import type { ForeignQuery, Result, Statement, WireClient } from "../wire/protocol"
import { Session, type SessionOwner } from "../wire/session"
import { Checkpoint } from "./checkpoint"
import { EarlyRefusals } from "./early-refusal"
import type { Enforcement } from "./enforcement"
import type { Fence } from "./fence"
import type { FencePolicy, Situation } from "./fence-policy"
import { withActors } from "../refusal"
import { type ForeignOwner, ForeignRequests } from "./foreign-requests"
import { callbackOf, isForeign } from "./query-forms"
import { replaceMethod, type Undo } from "./replace-method"
import type { Request } from "./request"
import { SelfCommitting } from "./self-committing"
import { Statements } from "./statements"
import { classify } from "./statement-kind"

const nobody: Actor = { user: undefined, isEmergency: false }

/** How long a query object that was given up may take to end. */
const closeWithinMs = 1000

/**
 * A physical connection to PostgreSQL on which nothing commits without having passed the fence: its `query` takes the
 * statements in the order of the calls, one at a time, and decides by the server's own transaction status how each
 * is sent. Everything else of the `pg` client is as it was.
 */
export class FencedConnection implements ForeignOwner, SessionOwner {
  readonly session: Session
  readonly fence: Fence
  /** Whether the pool has listeners of others, who may set up this connection. */
  hasListeners = false
  /** Whether TypeORM is looking at the server as it starts, which every mode allows to read. */
  isStartingUp = false
  /** Whether what runs is of a listener of the pool, which may read in every mode, too: for whoever has the connection next. */
  #isSettingUp = false
  /** Whom the last statement acted for; undefined before the first of who has it. */
  lastActor: Actor | undefined
  /** Whom the first statement of the running transaction acted for; undefined outside, and before that. */
  #firstActor: Actor | undefined
  #isCommitting = false
  /** Whether a query runner has it. */
  isLent = false
  /** Whether it is one of TypeORM's `slaves`: a replica, which writes nothing, and may not have the schema. */
  isReplica = false
  readonly #since = performance.now()
  readonly #client: WireClient
  readonly #enforcement: Enforcement
  readonly #checkpoint: Checkpoint
  readonly #statements: Statements
  readonly #foreign: ForeignRequests
  readonly #undos: Undo[]
  /** Of whoever has it; undefined before the first refusal. */
  #earlyRefusals: EarlyRefusals | undefined
  #isRetired = false

  /** Replaces the client's `query`, until `retire()`; `isNew` says that nobody has had the connection before. */
  constructor(client: WireClient, enforcement: Enforcement, isNew: boolean) {
    this.session = new Session(client, enforcement.PipelinedQuery, this, isNew)
    this.fence = enforcement.fence
    this.#client = client
    this.#enforcement = enforcement
    this.#checkpoint = new Checkpoint(this)
    const selfCommitting = new SelfCommitting(this, this.#checkpoint)
    this.#statements = new Statements(this, this.#checkpoint, selfCommitting)
    this.#foreign = new ForeignRequests(this, this.#checkpoint, selfCommitting)
    this.#undos = [
      replaceMethod(client, "query", () => this.query.bind(this)),
      replaceMethod(client as WireClient & { [rawClientKey]?: object }, rawClientKey, () => this.unfenced),
    ]
  }

  /** As `client.query()` of pg, in all its forms. */
  query(statement: Statement | ForeignQuery, values?: unknown, callback?: unknown): unknown {
    if (this.#isRetired || statement === null || statement === undefined)
      return this.session.rawQuery(statement, values, callback)
    if (isForeign(statement)) return this.#queryForeign(statement, values, callback)
    const givenCallback = callbackOf(values, callback, statement)
    // Made now, so that what is sent in its turn is what was classified.
    const query = this.session.statement(statement, typeof values === "function" ? undefined : values)
    const isSetUp = this.isSetUp()
    const result = isSetUp ? this.#handled(this.#request(query, isSetUp)) : this.#request(query, isSetUp)
    if (!givenCallback) return result
    result.then(
      (value) => process.nextTick(givenCallback, null, value),
      (error) => process.nextTick(givenCallback, error),
    )
    return undefined
  }

  get #situation(): Situation {
    if (this.isStartingUp) return "starting up"
    return this.#isSettingUp ? "setting up" : "usual"
  }

  /** The connection past the fence, for what brings the fence. */
  get unfenced(): { query(statement: Statement, values?: unknown): Promise<Result> } {
    return { query: (statement, values) => this.session.sendAsIs(statement, values) }
  }

  get isPrepared(): boolean {
    return this.fence.isPrepared
  }

  /** The process id of its backend, as PostgreSQL, or a pooler, has told. */
  get backendPid(): number | undefined {
    return this.#client.processID ?? undefined
  }

  /** For how many milliseconds the connection is there, at least. */
  get connectedMs(): number {
    return performance.now() - this.#since
  }

  /** Tells of a refusal, which says whom the transaction began as, too; returns the error, to be thrown. */
  refused(error: unknown): unknown {
    const actors = { first: this.#firstActor?.user, last: this.lastActor?.user }
    const hasChanged = this.#firstActor && this.lastActor && actors.first !== actors.last
    return this.#enforcement.refused(hasChanged ? withActors(error, actors, this.#isCommitting) : error)
  }

  /** Notes whom a statement acts for, and within a transaction, whom its first one acted for. */
  note({ actor, kind }: Pick<Request, "actor" | "kind">): void {
    this.lastActor = actor
    this.#isCommitting = kind === "commit"
    if (this.session.is("I")) this.#firstActor = undefined
    else if (kind !== "control") this.#firstActor ??= actor
  }

  /** Tells of a refusal for which nothing was sent, and rejects with it. */
  refuse(error: unknown): Promise<never> {
    // Calls of the pool itself follow each other on a connection, and are of different callers: none waits for another.
    const ofCaller = this.isLent ? (this.#earlyRefusals ??= new EarlyRefusals()) : new EarlyRefusals()
    return ofCaller.reject(this.refused(error))
  }

  /** Forgets who had it: whoever has it next may be somebody else. */
  givenBack(): void {
    this.isLent = false
    this.lastActor = undefined
    this.#earlyRefusals = undefined
  }

  /** Whom the running code acts for; throws MaintenanceSetupError if the application cannot say. */
  actor(): Actor {
    return this.#enforcement.actor()
  }

  get changes(): RefusedChange[] {
    return this.#enforcement.changesOn(this.#client)
  }

  get policy(): FencePolicy {
    return this.fence.policy(this.#situation, this.isReplica)
  }

  get isPooled(): boolean {
    return this.#enforcement.isPooled()
  }

  settle(): Promise<void> | undefined {
    return this.#checkpoint.settle()
  }

  /** Stops enforcing, and gives the client back as it was. */
  retire(): void {
    this.#isRetired = true
    for (const undo of this.#undos) undo()
    this.session.dispose()
  }

  /**
   * Rolls back whatever was left open, so that nobody else ends it; to be called before others get the connection.
   * Nothing to wait for if it is clean. Rejects if it cannot be: then the connection is to be closed.
   */
  clean(): Promise<void> | undefined {
    const { session } = this
    if (!session.isBusy && session.is("I")) return undefined
    if (!session.isForeignActive) return session.inTurn(() => session.rollBack())
    const abandoned = new Error("A query object was abandoned on this connection.")
    if (!session.isForeignEnding) return Promise.reject(abandoned)
    return within(
      closeWithinMs,
      session.inTurn(() => session.rollBack()),
      abandoned,
    )
  }

  /** Whether the running code is a listener of the pool that sets up this connection. */
  isSetUp(): boolean {
    return this.hasListeners && isSettingUp(this.#client)
  }

  /** A turn begins; where everybody may read, a listener needs no leave of its own. */
  setUpOrNot(isSetUp: boolean): void {
    this.#isSettingUp = isSetUp && (this.fence.policy("usual", false).isBlind || !this.fence.isOpen)
  }

  /** A listener seldom waits for what it asks: that it is refused must not end the process. */
  #handled(result: Promise<Result>): Promise<Result> {
    const handled: Promise<Result> = result.catch((error: unknown) => {
      if (error instanceof MaintenanceError) handled.catch(() => undefined)
      throw error
    })
    return handled
  }

  #request(query: PipelinedQuery, isSetUp: boolean): Promise<Result> {
    const { session } = this
    // pg allows to ask by name alone for what it has parsed under that.
    query.text ??= session.textOf(query) as string
    const classified = classify(query.text ?? "", query.isExtended)
    const { kind } = classified
    // What starts or ends a transaction is what its text says, not what the session keeps under its name.
    if (kind === "control" || kind === "commit" || kind === "rollback") query.forgetName()
    let actor: Actor
    try {
      // Giving up is open to everybody, also if it is not known to whom.
      actor = kind === "rollback" ? nobody : this.#enforcement.actor()
    } catch (error) {
      return this.refuse(error)
    }
    return session.inTurn(() => {
      this.setUpOrNot(isSetUp)
      return this.#statements.run({ query, actor, ...classified })
    })
  }

  #queryForeign(query: ForeignQuery, values: unknown, callback: unknown): ForeignQuery {
    const givenCallback = callbackOf(values, callback)
    if (givenCallback && !query.callback) query.callback = givenCallback
    this.#foreign.request(query).catch((error: Error) => query.handleError(error, this.session.connection))
    return query
  }

  /** Why everything of an actor is refused, if it is, as far as is known. */
  refusalOf(actor: Actor): Error | undefined {
    try {
      this.policy.assertAdmitted(actor)
      return undefined
    } catch (error) {
      return error as Error
    }
  }
}

/** Rejects with the error if the work takes longer. */
function within(ms: number, work: Promise<void>, error: Error): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(error), ms)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
