import { MaintenanceError } from "../errors"
import type { RefusedStatement } from "../mode/refusal-facts"
import { isSettingUp } from "../identity/current-actor"
import type { Actor } from "../mode/actor"
import { anybody } from "../mode/restriction"
import { rawClientKey } from "./migration"
import type { PipelinedQuery } from "../wire/pipelined-query"
import type { Submittable, Result, Statement, WireClient } from "../wire/protocol"
import { Session } from "../wire/session"
import type { SessionOwner } from "../wire/session-options"
import { Checkpoint } from "./checkpoint"
import { EarlyRefusals } from "./early-refusal"
import type { Enforcement } from "./enforcement"
import type { Fence } from "./fence"
import type { FencePolicy, LentPolicies } from "./fence-policy"
import { withActors } from "../refusal"
import { type SubmittableOwner, SubmittableRequests } from "./submittable-requests"
import { callbackOf, isSubmittable } from "./query-forms"
import { replaceMethod, type Undo } from "./replace-method"
import type { Request } from "./request"
import { SelfCommitting } from "./self-committing"
import { Statements } from "./statements"
import { classify } from "./statement-kind"

/** Time for an abandoned submittable to end, in milliseconds. */
const closeWithinMs = 1000

/**
 * A physical connection to PostgreSQL on which nothing commits without passing the fence. Its `query` runs
 * statements one at a time in the order of the calls, and the server's transaction status decides how each is
 * sent. The rest of the `pg` client is unchanged.
 */
export class FencedConnection implements SubmittableOwner, SessionOwner {
  readonly session: Session
  readonly fence: Fence
  /** Whether the pool has foreign listeners, which may set up this connection. */
  hasListeners = false
  /**
   * Whether the running statement belongs to a pool listener, which sets up the connection for its next
   * holder and may read in every mode.
   */
  #isSettingUp = false
  /** The actor of the last statement. Undefined before the current holder's first one. */
  lastActor: Actor | undefined
  /**
   * The actor of the running transaction's first statement. Undefined before that, and outside a transaction.
   */
  #firstActor: Actor | undefined
  #isCommitting = false
  /** Whether the last COMMIT was one: PostgreSQL answers that of a failed transaction with ROLLBACK. */
  hasCommitted = false
  /** Whether a query runner holds the connection. */
  isLent = false
  /** The policies with which it was lent last. */
  #policies: LentPolicies
  readonly #since = performance.now()
  readonly #client: WireClient
  readonly #enforcement: Enforcement
  readonly #checkpoint: Checkpoint
  readonly #statements: Statements
  readonly #submittables: SubmittableRequests
  readonly #undos: Undo[]
  /** The early refusals of the current holder. Undefined before the first one. */
  #earlyRefusals: EarlyRefusals | undefined
  #isRetired = false

  /**
   * Replaces the client's `query` until `retire()`. `isNew` says that nothing has used the connection before.
   */
  constructor(client: WireClient, enforcement: Enforcement, isNew: boolean) {
    const { PipelinedQuery } = enforcement
    this.session = new Session(client, { PipelinedQuery, owner: this, isNew })
    this.fence = enforcement.fence
    this.#policies = this.fence.policies.primary.usual
    this.#client = client
    this.#enforcement = enforcement
    this.#checkpoint = new Checkpoint(this)
    const selfCommitting = new SelfCommitting(this, this.#checkpoint)
    this.#statements = new Statements(this, this.#checkpoint, selfCommitting)
    this.#submittables = new SubmittableRequests(this, this.#checkpoint, selfCommitting)
    this.#undos = [
      replaceMethod(client, "query", () => this.query.bind(this)),
      replaceMethod(client as WireClient & { [rawClientKey]?: object }, rawClientKey, () => this.unfenced),
    ]
  }

  /** Runs a query as pg's `client.query()` does, in all its forms. */
  query(statement: Statement | Submittable, values?: unknown, callback?: unknown): unknown {
    if (this.#isRetired || statement === null || statement === undefined)
      return this.session.rawQuery(statement, values, callback)
    if (isSubmittable(statement)) return this.#querySubmittable(statement, values, callback)
    const givenCallback = callbackOf(values, callback, statement)
    // Made now, so that the text that is sent in its turn is the one that was classified.
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

  /** The connection without the fence, for the migration that creates it. */
  get unfenced(): { query(statement: Statement, values?: unknown): Promise<Result> } {
    return { query: (statement, values) => this.session.sendAsIs(statement, values) }
  }

  get isPrepared(): boolean {
    return this.fence.isPrepared
  }

  /** The process id of its backend, as reported by PostgreSQL or a pooler. */
  get backendPid(): number | undefined {
    return this.#client.processID ?? undefined
  }

  /** Minimum age of the connection, in milliseconds. */
  get connectedMs(): number {
    return performance.now() - this.#since
  }

  /**
   * Reports a refusal, and adds the transaction's first actor if that differs. Returns the error to throw.
   */
  refused(error: unknown): unknown {
    return this.#enforcement.refused(withActors(error, this.#acting))
  }

  /** Records the actor of a statement and, in a transaction, that of its first statement. */
  note({ actor, kind }: Pick<Request, "actor" | "kind">): void {
    this.lastActor = actor
    this.#isCommitting = kind === "commit"
    if (this.session.is("I")) this.#firstActor = undefined
    else if (kind !== "control") this.#firstActor ??= actor
  }

  /** Reports a refusal for which nothing was sent, and rejects with it. */
  refuse(error: unknown): Promise<never> {
    // Successive calls of the pool itself come from different callers, so none of them may delay another.
    const ofCaller = this.isLent ? (this.#earlyRefusals ??= new EarlyRefusals()) : new EarlyRefusals()
    return ofCaller.reject(this.refused(error))
  }

  /** Records that a query runner holds the connection, with the policies for it. */
  lend(policies: LentPolicies): void {
    this.#policies = policies
    this.isLent = true
  }

  /** Records that its holder has released it. It is given back when it is clean. */
  released(): void {
    this.#policies = this.#policies.released
  }

  /** Forgets the holder, since the next one may be another user. */
  givenBack(): void {
    this.isLent = false
    this.lastActor = undefined
    this.#earlyRefusals = undefined
  }

  /** The user of the running code. Throws MaintenanceSetupError if the application cannot determine it. */
  actor(): Actor {
    return this.#enforcement.actor()
  }

  get refusedStatement(): RefusedStatement {
    return { ...this.#acting, changes: this.#enforcement.changesOn(this.#client) }
  }

  /** The users for whom the code acted, if they changed within the transaction. */
  get #acting(): RefusedStatement {
    const actedFor = { first: this.#firstActor?.user, last: this.lastActor?.user }
    const hasChanged = this.#firstActor && this.lastActor && actedFor.first !== actedFor.last
    return hasChanged ? { actedFor, isCommit: this.#isCommitting } : {}
  }

  get policy(): FencePolicy {
    return this.#isSettingUp ? this.#policies.listener : this.#policies.holder
  }

  get isPooled(): boolean {
    return this.#enforcement.isPooled()
  }

  settle(): Promise<void> | undefined {
    return this.#checkpoint.settle()
  }

  /** Stops enforcing, and restores the client as it was. */
  retire(): void {
    this.#isRetired = true
    for (const undo of this.#undos) undo()
    this.session.dispose()
  }

  /**
   * Rolls back an open transaction, so that the next holder does not end it. Call it before the connection is
   * lent again. Returns undefined if the connection is clean. Rejects if it cannot be cleaned and must be
   * closed.
   */
  clean(): Promise<void> | undefined {
    const { session } = this
    if (this.isClean) return undefined
    if (!session.isSubmittableActive) return session.inTurn(() => session.rollBack())
    const abandoned = new Error("A query object was abandoned on this connection.")
    if (!session.isSubmittableEnding) return Promise.reject(abandoned)
    return within(
      closeWithinMs,
      session.inTurn(() => session.rollBack()),
      abandoned,
    )
  }

  /** Whether nothing runs, and no transaction is open. */
  get isClean(): boolean {
    return !this.session.isBusy && this.session.is("I")
  }

  /** Whether the running code is a pool listener that sets up this connection. */
  isSetUp(): boolean {
    return this.hasListeners && isSettingUp(this.#client)
  }

  /** Begins a turn. While all users may read, a listener needs no exemption. */
  beginTurn(isSetUp: boolean): void {
    this.#isSettingUp = isSetUp && this.fence.mayRefuseReads
  }

  /**
   * Prevents an unhandled rejection from ending the process, because listeners seldom await their statements.
   */
  #handled(result: Promise<Result>): Promise<Result> {
    const handled: Promise<Result> = result.catch((error: unknown) => {
      if (error instanceof MaintenanceError) handled.catch(() => undefined)
      throw error
    })
    return handled
  }

  #request(query: PipelinedQuery, isSetUp: boolean): Promise<Result> {
    const { session } = this
    // pg accepts a statement by its name alone, once that is parsed.
    query.text ??= session.textOf(query) as string
    const classified = classify(query.text ?? "", query.isExtended)
    const { kind } = classified
    // The text of a statement that starts or ends a transaction counts, not the one prepared under its name.
    if (kind === "control" || kind === "commit" || kind === "rollback") query.forgetName()
    let actor: Actor
    try {
      // Any user may roll back, even an unknown one.
      actor = kind === "rollback" ? anybody : this.#enforcement.actor()
    } catch (error) {
      return this.refuse(error)
    }
    return session.inTurn(() => {
      this.beginTurn(isSetUp)
      const result = this.#statements.run({ query, actor, ...classified })
      return kind === "commit" ? this.#noteCommit(result) : result
    })
  }

  async #noteCommit(committed: Promise<Result>): Promise<Result> {
    this.hasCommitted = false
    const result = await committed
    this.hasCommitted = (result as { command?: string }).command === "COMMIT"
    return result
  }

  #querySubmittable(query: Submittable, values: unknown, callback: unknown): Submittable {
    const givenCallback = callbackOf(values, callback)
    if (givenCallback && !query.callback) query.callback = givenCallback
    this.#submittables
      .request(query)
      .catch((error: Error) => query.handleError(error, this.session.connection))
    return query
  }

  /** The error with which every statement of an actor is refused, if so, as far as is known. */
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
