import type { ReplicationMode } from "typeorm"
import type { PostgresDriver } from "typeorm/driver/postgres/PostgresDriver.js"
import type { PostgresQueryRunner } from "typeorm/driver/postgres/PostgresQueryRunner.js"
import { MaintenanceError } from "../errors"
import type { Enforcement, FencedConnection } from "./fenced-connection"
import { recordingBroadcasterClass, type RecordedChanges } from "./recorded-changes"
import { classify } from "./statement-kind"

/** What a query runner needs to know of the installation. */
export interface RunnerContext extends Enforcement {
  /** The fenced connection behind a client that the driver handed out. */
  connectionOf(client: unknown): FencedConnection | undefined
  /** Whether this table is one that TypeORM itself needs before the migration that installs the schema can run. */
  isNeededToMigrate(table: string): boolean
  /** Told when a transaction was committed. */
  committed(): Promise<void>
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
    #fenced: FencedConnection | undefined
    #isUnfenced = false
    #afterCommit: (() => Promise<void>)[] = []

    constructor(driver: PostgresDriver, mode: ReplicationMode) {
      super(driver, mode)
      const broadcaster = new RecordingBroadcaster(this as never)
      this.broadcaster = broadcaster
      this.#changes = broadcaster.changes
    }

    override connect(): Promise<unknown> {
      if (this.#fenced) return this.#isUnfenced ? Promise.resolve(this.#fenced.unfenced) : super.connect()
      const refusal = this.#refusal()
      if (refusal) return Promise.reject(refusal)
      return super.connect().then((client) => {
        this.#fenced = context.connectionOf(client)
        if (this.#fenced) this.#fenced.changes = this.#changes
        return this.#isUnfenced ? this.#fenced?.unfenced : client
      })
    }

    override query(query: string, parameters?: unknown[], useStructuredResult = false): Promise<unknown> {
      const refusal = this.#refusal(query)
      if (refusal) return Promise.reject(refusal)
      return super.query(query, parameters, useStructuredResult).catch(throwOwn)
    }

    override async startTransaction(
      ...isolation: Parameters<PostgresQueryRunner["startTransaction"]>
    ): Promise<void> {
      const refusal = this.#refusal()
      if (refusal) throw refusal
      if (this.isTransactionActive) this.#changesBefore.push(new Map(this.#changes))
      else this.#forgetTransaction()
      await super.startTransaction(...isolation)
    }

    override async commitTransaction(): Promise<void> {
      await super.commitTransaction()
      if (this.isTransactionActive) {
        this.#changesBefore.pop()
        return
      }
      const work = this.#afterCommit
      this.#forgetTransaction()
      await context.committed()
      for (const run of work) await run()
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

    override async release(): Promise<void> {
      // A connection that cannot be cleaned up is closed instead of being given back.
      if (!this.isReleased && this.#fenced) await this.#leaveClean(this.#fenced)
      await super.release()
    }

    override createTable(...args: Parameters<PostgresQueryRunner["createTable"]>): Promise<void> {
      const create = () => super.createTable(...args)
      return context.isNeededToMigrate(args[0].name) ? this.#unfenced(create) : create()
    }

    afterCommit(work: () => Promise<void>): void {
      this.#afterCommit.push(work)
    }

    async #leaveClean(fenced: FencedConnection): Promise<void> {
      // Nobody waits for what pg has given up waiting for.
      if (!fenced.session.isGivenUp) await fenced.clean()?.catch(() => fenced.session.destroy())
    }

    async #unfenced<T>(work: () => Promise<T>): Promise<T> {
      this.#isUnfenced = true
      try {
        return await work()
      } finally {
        this.#isUnfenced = false
      }
    }

    /** Why this is refused at once, if it is. */
    #refusal(query?: string): Error | undefined {
      if (context.fence.isOpen || this.#isUnfenced || this.isReleased) return undefined
      try {
        context.fence.assertAdmitted(context.actor())
        return undefined
      } catch (error) {
        const isRollback = this.#fenced && query !== undefined && classify(query, false).kind === "rollback"
        return isRollback ? undefined : ((this.#fenced ?? context).refused(error) as Error)
      }
    }

    #forgetTransaction(): void {
      this.#changes.clear()
      this.#changesBefore = []
      this.#afterCommit = []
    }
  }
}

/** TypeORM wraps whatever a query throws; an error of this package comes out as it is. */
function throwOwn(error: unknown): never {
  const { driverError } = error as { driverError?: unknown }
  throw driverError instanceof MaintenanceError ? driverError : error
}
