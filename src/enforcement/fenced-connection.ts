import type { QueryResult } from "pg"
import { MaintenanceError, MaintenanceSetupError, type RefusedChange, WriteVetoedError } from "../errors"
import type { Actor } from "../mode/mode"
import { AccompaniedQuery } from "../wire/accompanied-query"
import type { Companions, PipelinedQueryClass } from "../wire/pipelined-query"
import type { ForeignQuery, Result, Statement, Step, TransactionStatus, WireClient } from "../wire/protocol"
import { rawClientKey } from "../state/migration"
import type { Fence } from "./fence"
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

/** A statement as it was asked for, with all that decides how it is sent. */
interface Request extends Classified {
  readonly statement: Statement
  readonly values: unknown[] | undefined
  readonly actor: Actor
}

type Callback = (error: unknown, result?: unknown) => void

/** PostgreSQL's codes for a statement that does not run inside a transaction block. */
const needsNoBlock = new Set(["25001", "2D000"])
const nobody: Actor = { user: undefined, isEmergency: false }
const severalStatements =
  "A text of several statements that may end a transaction cannot be checked: send them one by one."
const commitsItself = "This statement commits by itself, so it could not be undone."

/**
 * A physical connection to PostgreSQL on which nothing commits without having passed the fence. It takes the
 * statements in the order of the calls, one at a time, and decides by the server's own transaction status how each
 * is sent. Everything else of the `pg` client is as it was.
 */
export class FencedConnection {
  /** The client to hand out in place of the raw one. */
  readonly client: WireClient
  /** Names the ORM's changes of the running transaction; set by the query runner that uses the connection. */
  changes: () => readonly RefusedChange[] = () => []
  /** Whether TypeORM is looking at the server as it starts, for which every mode allows it to read. */
  isStartingUp = false
  readonly #raw: WireClient
  readonly #enforcement: Enforcement
  #status: TransactionStatus = "I"
  #isEnded = false
  #turn: Promise<void> | undefined
  #waiting = 0
  /** The epoch at which this session holds a share of the gate. */
  #heldEpoch: number | undefined
  /** Whether a refusal left a transaction open, which is to be rolled back before anybody else gets the connection. */
  #mustRollBack = false
  #isRetired = false
  readonly #onReady = ({ status }: { status: TransactionStatus }) => (this.#status = status)
  readonly #onEnd = () => (this.#isEnded = true)

  constructor(raw: WireClient, enforcement: Enforcement) {
    this.#raw = raw
    this.#enforcement = enforcement
    // Before pg's own listener, which calls back and may at once ask for the next statement.
    raw.connection.prependListener("readyForQuery", this.#onReady)
    raw.once("end", this.#onEnd)
    const replaced: Record<string | symbol, unknown> = { query: this.query.bind(this), [rawClientKey]: raw }
    this.client = new Proxy(raw, {
      get: (target, property) => replaced[property] ?? Reflect.get(target, property),
    })
  }

  /** The raw client, for the plugin's own installation. */
  get raw(): WireClient {
    return this.#raw
  }

  /** As `client.query()` of pg, in all its forms. */
  query(statement: Statement | ForeignQuery, values?: unknown, callback?: unknown): unknown {
    if (this.#isRetired || statement === null || statement === undefined)
      return this.#raw.query(statement as Statement, values, callback)
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
    if (error instanceof MaintenanceError && !this.#is("I")) this.#mustRollBack = true
    return this.#enforcement.refused(error)
  }

  /** Stops enforcing, and leaves no listener on the client. */
  retire(): void {
    this.#isRetired = true
    this.#raw.connection.removeListener("readyForQuery", this.#onReady)
    this.#raw.removeListener("end", this.#onEnd)
  }

  /** Rolls back what a refusal left open; to be called before the connection goes back to the pool. */
  async clean(): Promise<void> {
    this.changes = () => []
    if (!this.#mustRollBack && !this.#is("E")) return
    await this.#inTurn(() => this.#rollBack()).catch(() => undefined)
  }

  async #request(statement: Statement, values: unknown[] | undefined): Promise<Result> {
    const classified = classify(this.#textOf(statement), isExtended(statement, values))
    // Giving up is open to everybody, also if it is not known to whom.
    const actor = classified.kind === "rollback" ? nobody : this.#actor()
    return this.#inTurn(() => this.#run({ statement, values, actor, ...classified }))
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
    const { parsedStatements } = this.#raw.connection as { parsedStatements?: Record<string, string> }
    return statement.text ?? parsedStatements?.[statement.name ?? ""] ?? ""
  }

  /** Runs when all that was asked for before is done, and keeps what comes after waiting until the server is ready. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn ? this.#turn.then(work) : work()
    this.#waiting++
    this.#turn = result.then(ignore, ignore).then(async () => {
      await this.#settle()
      if (--this.#waiting === 0) this.#turn = undefined
    })
    return result
  }

  async #run(request: Request): Promise<Result> {
    const { kind, actor } = request
    if (kind !== "rollback") this.#assertAdmitted(actor)
    if (this.#is("I")) return this.#runAlone(request)
    if (this.#is("E") && kind !== "several") return this.#send(request)
    return this.#runInTransaction(request)
  }

  /** Outside a transaction block: what a statement changes is committed with it. */
  #runAlone(request: Request): Promise<Result> {
    switch (request.kind) {
      case "plannable":
        return this.#sendWith(request, { after: this.#lastCheck(request.actor) })
      case "other":
      case "several":
        return this.#runUnderHold(request)
      default:
        return this.#send(request)
    }
  }

  /** Inside a transaction block: only its end is of interest, as long as exclusive mode would be known of. */
  async #runInTransaction(request: Request): Promise<Result> {
    if (
      this.#enforcement.fence.isBlind &&
      !this.#is("E") &&
      (request.kind === "plannable" || request.kind === "other")
    ) {
      await this.#admitReader(request.actor)
    }
    if (!request.mayEndTransaction) return this.#send(request)
    if (request.kind === "several") return this.#runUnderHold(request)
    return this.#sendWith(request, { before: this.#enforcement.fence.check(request.actor) })
  }

  async #admitReader(actor: Actor): Promise<void> {
    const { text, values } = this.#enforcement.fence.admitReader(actor)
    try {
      await this.#raw.query(text, [...values])
    } catch (error) {
      await this.#ready()
      throw this.refused(this.#enforcement.fence.translate(error, this.changes()))
    }
  }

  /** A statement that may commit by itself: the gate is held from before it until after it. */
  async #runUnderHold(request: Request): Promise<Result> {
    if (!(await this.#hold(request.actor))) return this.#runAsReader(request)
    const result = await this.#send(request)
    await this.#ready()
    // Not as the first query of a transaction just begun: SET TRANSACTION would come too late after it.
    if (this.#is("T") && !startsTransaction([result].flat().slice(-1))) await this.#unhold()
    return result
  }

  /** The same for somebody who may only read: in a block, his own or ours, where it cannot commit by itself. */
  async #runAsReader(request: Request): Promise<Result> {
    const { fence } = this.#enforcement
    if (!this.#is("I")) return this.#sendAsOne(request, { before: fence.check(request.actor) })
    await this.#raw.query("BEGIN")
    let result: Result
    try {
      result = await this.#sendAsOne(request, {})
      await this.#ready()
    } catch (error) {
      await this.#rollBack()
      if (needsNoBlock.has(codeOf(error)))
        throw this.refused(await this.#veto(request.actor, commitsItself, error))
      throw error
    }
    if (!this.#is("T") || startsTransaction([result].flat())) return result
    const commit: Request = { ...request, statement: "COMMIT", values: undefined, kind: "commit" }
    await this.#sendWith(commit, { before: fence.check(request.actor) })
    return result
  }

  /** Has the server see to it that a text which may end the transaction is one statement. */
  async #sendAsOne(request: Request, companions: Companions): Promise<Result> {
    if (request.kind === "several" && !request.mayEndTransaction) return this.#send(request)
    try {
      return await this.#sendWith(request, companions)
    } catch (error) {
      // PostgreSQL's parser found several commands; a mere syntax error has another routine.
      if ((error as { routine?: string }).routine !== "exec_parse_message") throw error
      await this.#rollBack()
      throw this.refused(await this.#veto(request.actor, severalStatements, error))
    }
  }

  /** The veto of something that could not be undone at commit. */
  async #veto(actor: Actor, why: string, cause?: unknown): Promise<Error> {
    const { fence } = this.#enforcement
    const { text, values } = fence.admit(actor)
    try {
      await this.#raw.query(text, [...values])
    } catch (error) {
      const refusal = fence.translate(error, this.changes()) as Error
      return refusal instanceof WriteVetoedError ? fence.vetoUnchecked(refusal, why, cause) : refusal
    } finally {
      await this.#ready()
    }
    return new MaintenanceSetupError("The maintenance ended while this was refused: run it again.", { cause })
  }

  /** Takes a share of the gate for longer than a transaction; returns whether the actor may write at all. */
  async #hold(actor: Actor): Promise<boolean> {
    const { text, values } = this.#enforcement.fence.hold(actor)
    for (let attempt = 1; ; attempt++) {
      try {
        const { rows } = (await this.#raw.query(text, [...values])) as { rows: { epoch: number | null }[] }
        this.#heldEpoch = rows[0]?.epoch ?? undefined
        return this.#heldEpoch !== undefined
      } catch (error) {
        await this.#ready()
        // The state changed while it was read, under a default isolation level above READ COMMITTED.
        const isStale = codeOf(error) === "40001" && this.#is("I")
        if (!isStale || attempt === 10)
          throw this.refused(this.#enforcement.fence.translate(error, this.changes()))
      }
    }
  }

  async #unhold(): Promise<void> {
    if (this.#heldEpoch === undefined || this.#isEnded) return
    const { text, values } = this.#enforcement.fence.unhold(this.#heldEpoch)
    this.#heldEpoch = undefined
    await this.#raw.query(text, [...values])
  }

  /** Sends a statement as pg itself would. */
  #send({ statement, values }: Request): Promise<Result> {
    return this.#raw.query(statement, values) as Promise<Result>
  }

  async #sendWith(request: Request, companions: Companions): Promise<Result> {
    const query = new this.#enforcement.PipelinedQuery(request.statement, request.values, companions)
    try {
      return await new Promise<Result>((resolve, reject) => {
        query.callback = (error, result) => (error ? reject(error) : resolve(result))
        this.#raw.query(query)
      })
    } catch (error) {
      const isFence = query.failedPart === (companions.before ? "before" : "after")
      if (!isFence) throw error
      await this.#ready()
      // A COMMIT that fails leaves no transaction behind, whatever it failed for.
      if (request.kind === "commit") await this.#rollBack()
      throw this.refused(this.#enforcement.fence.translate(error, this.changes()))
    }
  }

  #queryForeign(query: ForeignQuery, values: unknown, callback: unknown): ForeignQuery {
    const givenCallback = [values, callback].find(isCallback)
    if (givenCallback && !query.callback) query.callback = givenCallback
    this.#requestForeign(query).catch((error: Error) => query.handleError(error, this.#raw.connection))
    return query
  }

  async #requestForeign(query: ForeignQuery): Promise<void> {
    const actor = this.#actor()
    const { kind, mayEndTransaction } = classify(query.text ?? query.cursor?.text ?? "", false)
    await this.#inTurn(async () => {
      this.#assertAdmitted(actor)
      if (this.#is("I") && kind === "plannable") {
        return this.#submit(query, this.#enforcement.fence.check(actor))
      }
      if (!this.#is("I") && !mayEndTransaction) return this.#submit(query)
      return this.#submitUnderHold(query, actor)
    })
  }

  /** As #runUnderHold; a reader's block is read-only, so that the server refuses a write in the act. */
  async #submitUnderHold(query: ForeignQuery, actor: Actor): Promise<void> {
    if (await this.#hold(actor)) return this.#submit(query)
    const veto = await this.#veto(actor, commitsItself)
    if (!this.#is("I")) throw this.refused(veto)
    await this.#raw.query("BEGIN READ ONLY")
    await this.#submit(
      query,
      undefined,
      (error) => (codeOf(error) === "25006" ? this.refused(veto) : error) as Error,
    )
    await this.#rollBack()
  }

  /** Hands a query object to pg; resolves when the server is done with it. */
  async #submit(query: ForeignQuery, step?: Step, translate = (error: Error) => error): Promise<void> {
    const translateStep = (error: Error) =>
      translate(
        step ? (this.refused(this.#enforcement.fence.translate(error, this.changes())) as Error) : error,
      )
    this.#raw.query(new AccompaniedQuery(query, step, translateStep))
    await this.#ready()
  }

  #lastCheck(actor: Actor): Step {
    const { fence } = this.#enforcement
    return this.isStartingUp ? fence.checkWrites(actor) : fence.check(actor)
  }

  #assertAdmitted(actor: Actor): void {
    if (this.isStartingUp) return
    try {
      this.#enforcement.fence.assertAdmitted(actor)
    } catch (error) {
      throw this.refused(error)
    }
  }

  async #rollBack(): Promise<void> {
    this.#mustRollBack = false
    await this.#ready()
    if (this.#isEnded || this.#is("I")) return
    await this.#raw.query("ROLLBACK")
    await this.#ready()
  }

  #is(status: TransactionStatus): boolean {
    return this.#status === status
  }

  async #settle(): Promise<void> {
    await this.#ready()
    if (!this.#is("I")) return
    this.#mustRollBack = false
    if (this.#heldEpoch === undefined) return
    await this.#unhold().catch(ignore)
    await this.#ready()
  }

  /** Resolves when the server has answered all that was sent, or will never. */
  async #ready(): Promise<void> {
    while (!this.#raw.readyForQuery && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#raw.connection.removeListener("readyForQuery", done)
          this.#raw.removeListener("end", done)
          resolve()
        }
        this.#raw.connection.once("readyForQuery", done)
        this.#raw.once("end", done)
      })
    }
  }
}

function ignore(): void {}

/** PostgreSQL's SQLSTATE, or none. */
function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? ""
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

/** Whether one of these statements began a transaction, by the server's command tags. */
function startsTransaction(results: QueryResult[]): boolean {
  return results.some(({ command }) => command === "BEGIN" || command === "START")
}
