import { MaintenanceError, type RefusedChange } from "../errors"
import type { Actor } from "../mode/mode"
import { rawClientKey } from "../state/migration"
import type { PipelinedQueryClass } from "../wire/pipelined-query"
import type { ForeignQuery, Result, Statement, Step, WireClient } from "../wire/protocol"
import { Session } from "../wire/session"
import { Checkpoint, type CheckpointOwner } from "./checkpoint"
import type { Fence } from "./fence"
import type { Request } from "./request"
import { SelfCommitting } from "./self-committing"
import { classify } from "./statement-kind"

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
  /** Whether a refusal left a transaction open, which is to be rolled back before anybody else gets the connection. */
  #mustRollBack = false
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
    const config = typeof statement === "string" ? { text: statement } : statement
    const givenCallback = [values, callback, (config as { callback?: unknown }).callback].find(isCallback)
    const givenValues = (Array.isArray(values) ? values : config.values) as unknown[] | undefined
    if (!givenCallback) return this.#request(statement, givenValues)
    const result = this.#request({ ...config, callback: undefined } as Statement, givenValues)
    result.then(
      (value) => process.nextTick(givenCallback, null, value),
      (error) => process.nextTick(givenCallback, error),
    )
    return undefined
  }

  /** Tells of a refusal, and remembers if it left a transaction open; returns the error, to be thrown. */
  refused(error: unknown): unknown {
    if (error instanceof MaintenanceError && !this.session.is("I")) this.#mustRollBack = true
    return this.#enforcement.refused(error)
  }

  /** Stops enforcing, and leaves no listener on the client. */
  retire(): void {
    this.#isRetired = true
    this.session.dispose()
  }

  /** Rolls back what a refusal, or nothing but its start, left open; to be called before others get the connection. */
  async clean(): Promise<void> {
    this.changes = () => []
    this.session.forget("ROLLBACK")
    if (!this.#mustRollBack && !this.session.is("E")) return
    await this.#inTurn(() => this.session.rollBack()).catch(() => undefined)
  }

  async #request(statement: Statement, values: unknown[] | undefined): Promise<Result> {
    const classified = classify(this.#textOf(statement), isExtended(statement, values))
    // Giving up is open to everybody, also if it is not known to whom.
    const actor = classified.kind === "rollback" ? nobody : this.#actor()
    return this.#inTurn(() => this.#run({ statement, values, actor, ...classified }))
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.session.inTurn(work, () => this.#settle())
  }

  async #settle(): Promise<void> {
    if (!this.session.is("I")) return
    this.#mustRollBack = false
    await this.#checkpoint.unhold().catch(() => undefined)
  }

  async #run(request: Request): Promise<Result> {
    const { session } = this
    if (request.kind !== "rollback") this.#assertAdmitted(request.actor)
    const result =
      (request.kind === "control" && session.postpone(this.#textOf(request.statement))) ||
      (request.end && session.forget(request.end))
    if (result) return result
    if (session.is("I")) return this.#runAlone(request)
    if (session.is("E") && request.kind !== "several") return session.send(request)
    return this.#runInTransaction(request)
  }

  /** Outside a transaction block: what a statement changes is committed with it. */
  #runAlone(request: Request): Promise<Result> {
    switch (request.kind) {
      case "plannable":
        return this.#checkpoint.send(request, { after: [this.#lastCheck(request.actor)] })
      case "other":
      case "several":
        return this.#selfCommitting.run(request)
      default:
        return this.session.send(request)
    }
  }

  /** Inside a transaction block: only its end is of interest, as long as exclusive mode would be known of. */
  async #runInTransaction(request: Request): Promise<Result> {
    const { session, fence } = this
    const asksForData = request.kind === "plannable" || request.kind === "other"
    if (asksForData && fence.isBlind && !session.is("E")) await this.#checkpoint.admitReader(request.actor)
    if (!request.mayEndTransaction)
      return session.sendInBlock(request, request.kind === "plannable" || request.kind === "control")
    if (request.kind === "several") return this.#selfCommitting.run(request)
    try {
      return await this.#checkpoint.send(request, { before: [fence.check(request.actor)] })
    } catch (error) {
      // A COMMIT that fails leaves no transaction behind, whatever it failed for.
      if (request.kind === "commit") await session.rollBack()
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
    const { session } = this
    const actor = this.#actor()
    const { kind, mayEndTransaction } = classify(query.text ?? query.cursor?.text ?? "", false)
    await this.#inTurn(async () => {
      this.#assertAdmitted(actor)
      if (session.is("I") && kind === "plannable") {
        return session.submit(
          query,
          this.#lastCheck(actor),
          (error) => this.#checkpoint.refuse(error) as Error,
        )
      }
      if (!session.is("I") && !mayEndTransaction) return session.submit(query, undefined, (error) => error)
      return this.#selfCommitting.submit(query, actor)
    })
  }

  #actor(): Actor {
    try {
      return this.#enforcement.actor()
    } catch (error) {
      throw this.refused(error)
    }
  }

  #textOf(statement: Statement): string {
    if (typeof statement === "string") return statement
    const { parsedStatements } = this.session.raw.connection as { parsedStatements?: Record<string, string> }
    return statement.text ?? parsedStatements?.[statement.name ?? ""] ?? ""
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

/** Whether pg sends it by the extended protocol, in which PostgreSQL takes one statement only. */
function isExtended(statement: Statement, values: unknown[] | undefined): boolean {
  if (values && values.length > 0) return true
  if (typeof statement === "string") return false
  const { name, queryMode } = statement as { name?: string; queryMode?: string }
  return Boolean(name) || queryMode === "extended"
}
