import { QueryRunnerAlreadyReleasedError, type ReplicationMode } from "typeorm"
import type { PostgresDriver } from "typeorm/driver/postgres/PostgresDriver.js"
import type { PostgresQueryRunner } from "typeorm/driver/postgres/PostgresQueryRunner.js"
import { MaintenanceError } from "../errors"
import type { Actor } from "../mode/actor"
import type { Enforcement } from "./enforcement"
import type { FencedConnection } from "./fenced-connection"
import { recordingBroadcasterClass, type RecordedChanges } from "./recorded-changes"
import { classify } from "./statement-kind"

/** What a query runner needs to know of the installation. */
export interface RunnerContext extends Enforcement {
  /** The fenced connection behind a client that the driver handed out. */
  connectionOf(client: unknown): FencedConnection | undefined
  /** Whether whoever is restricted waits before he takes a connection. */
  isWaiting(): boolean
  /** Whether this table is one that TypeORM itself needs before the migration that installs the schema can run. */
  isNeededToMigrate(table: string): boolean
  /** Told when a transaction was committed; what it returns is waited for. */
  committed(): Promise<void> | undefined
}

type RunnerClass = new (driver: PostgresDriver, mode: ReplicationMode) => PostgresQueryRunner

/** A query runner that is refused early, and whose refusals surface as errors of this package. */
export interface FencedQueryRunner extends PostgresQueryRunner {
  /** Runs when the running transaction has been committed; not at all if it is rolled back. */
  afterCommit(work: () => Promise<void>): void
}

/** Whether a query runner is one of ours. */
export function isFencedQueryRunner(runner: object | undefined): runner is FencedQueryRunner {
  return runner !== undefined && "afterCommit" in runner
}

/**
 * Makes the class of query runners for a DataSource, as a subclass of the one that its driver uses; `sample` is one of
 * those.
 */
export function fencedQueryRunnerClass(sample: PostgresQueryRunner, context: RunnerContext): RunnerClass {
  const Base = sample.constructor as RunnerClass
  const RecordingBroadcaster = recordingBroadcasterClass(sample.broadcaster.constructor as never)
  return class extends Base implements FencedQueryRunner {
    #changes: RecordedChanges
    /** The changes up to each savepoint, to come back to. */
    #changesBefore: RecordedChanges[] = []
    #isUnfenced = false
    #afterCommit: (() => Promise<void>)[] = []

    constructor(driver: PostgresDriver, mode: ReplicationMode) {
      super(driver, mode)
      const broadcaster = new RecordingBroadcaster(this as never)
      this.broadcaster = broadcaster
      this.#changes = broadcaster.changes
    }

    // No async functions below: where AsyncLocalStorage is in use, each promise costs something.

    override connect(): Promise<unknown> {
      if (this.#isUnfenced) return super.connect().then((client) => context.connectionOf(client)?.unfenced)
      const refused = this.databaseConnection ? undefined : this.#refused()
      if (refused) return refused
      if (this.databaseConnection) return super.connect()
      return super.connect().then((connection) => (this.isReleased ? this.#refuseReleased() : connection))
    }

    override query(query: string, parameters?: unknown[], useStructuredResult = false): Promise<unknown> {
      const refused = this.#refused(query)
      if (refused) return refused
      return super.query(query, parameters, useStructuredResult).then(
        (result) => {
          this.#queried()
          return result
        },
        (error) => {
          this.#queried()
          throw ownError(error)
        },
      )
    }

    override startTransaction(
      ...isolation: Parameters<PostgresQueryRunner["startTransaction"]>
    ): Promise<void> {
      const refused = this.#refused()
      if (refused) return refused
      if (this.isTransactionActive) this.#changesBefore.push(new Map(this.#changes))
      else this.#forgetTransaction()
      return super.startTransaction(...isolation)
    }

    override commitTransaction(): Promise<void> {
      return super.commitTransaction().then(() => {
        if (!this.isTransactionActive) return this.#committed()
        this.#changesBefore.pop()
        return undefined
      })
    }

    override async rollbackTransaction(): Promise<void> {
      await super.rollbackTransaction()
      const changes = this.#changesBefore.pop()
      if (!this.isTransactionActive || !changes) return this.#forgetTransaction()
      this.#changes.clear()
      for (const [kind, change] of changes) this.#changes.set(kind, change)
      // What is to follow the commit may rest on what was undone.
      this.#afterCommit = []
    }

    override release(): Promise<void> {
      const fenced = this.isReleased ? undefined : this.#fenced
      // Nobody waits for what pg has given up waiting for.
      const cleaning = fenced?.session.isGivenUp ? undefined : fenced?.clean()
      if (!fenced || !cleaning) return super.release()
      // A connection that cannot be cleaned up is closed instead of being given back.
      return cleaning.catch(() => fenced.session.destroy()).then(() => super.release())
    }

    override createTable(...args: Parameters<PostgresQueryRunner["createTable"]>): Promise<void> {
      const create = () => super.createTable(...args)
      return context.isNeededToMigrate(args[0].name) ? this.#unfenced(create) : create()
    }

    afterCommit(work: () => Promise<void>): void {
      this.#afterCommit.push(work)
    }

    /** A connection that comes when it is released already, TypeORM (0.3 to 1.1) keeps, and destroy() would never end. */
    async #refuseReleased(): Promise<never> {
      if (this.databaseConnection) {
        this.isReleased = false
        await this.release()
      }
      throw new QueryRunnerAlreadyReleasedError()
    }

    get #fenced(): FencedConnection | undefined {
      return this.databaseConnection ? context.connectionOf(this.databaseConnection) : undefined
    }

    #queried(): void {
      if (!this.isTransactionActive && this.#changes.size > 0) this.#changes.clear()
    }

    #committed(): Promise<void> | undefined {
      const work = this.#afterCommit
      this.#forgetTransaction()
      const told = context.committed()
      if (told) return told.then(() => inOrder(work))
      return work.length > 0 ? inOrder(work) : undefined
    }

    async #unfenced<T>(work: () => Promise<T>): Promise<T> {
      this.#isUnfenced = true
      try {
        return await work()
      } finally {
        this.#isUnfenced = false
      }
    }

    /** Rejects if this is refused before anything is sent; undefined if it is not. */
    #refused(query?: string): Promise<never> | undefined {
      if (context.fence.isOpen || this.#isUnfenced || this.isReleased) return undefined
      if (!this.databaseConnection && context.isWaiting()) return undefined
      let actor: Actor | undefined
      try {
        actor = context.actor()
        context.fence.assertAdmitted(actor)
        return undefined
      } catch (error) {
        const fenced = this.#fenced
        if (!fenced) return context.refuse(error)
        const kind = query === undefined ? "control" : classify(query, false).kind
        if (kind === "rollback") return undefined
        if (actor) fenced.note({ actor, kind })
        return fenced.refuse(error)
      }
    }

    #forgetTransaction(): void {
      this.#changes.clear()
      this.#changesBefore = []
      this.#afterCommit = []
    }
  }
}

async function inOrder(work: readonly (() => Promise<void>)[]): Promise<void> {
  for (const run of work) await run()
}

/** TypeORM wraps whatever a query throws; an error of this package comes out as it is. */
function ownError(error: unknown): unknown {
  const { driverError } = error as { driverError?: unknown }
  return driverError instanceof MaintenanceError ? driverError : error
}
