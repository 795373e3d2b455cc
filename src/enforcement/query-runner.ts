import type { ReplicationMode } from "typeorm"
import type { PostgresDriver } from "typeorm/driver/postgres/PostgresDriver.js"
import type { PostgresQueryRunner } from "typeorm/driver/postgres/PostgresQueryRunner.js"
import { MaintenanceError, type RefusedChange } from "../errors"
import type { Enforcement, FencedConnection } from "./fenced-connection"
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

/** TypeORM's events before a change, and what the change is. */
const changeEvents = {
  broadcastBeforeInsertEvent: "insert",
  broadcastBeforeUpdateEvent: "update",
  broadcastBeforeRemoveEvent: "remove",
  broadcastBeforeSoftRemoveEvent: "soft-remove",
  broadcastBeforeRecoverEvent: "recover",
} as const

type Broadcast = (result: unknown, metadata: { name: string }, ...rest: unknown[]) => void

/** A query runner that is refused early, and whose refusals surface as errors of this package. */
export interface FencedQueryRunner extends PostgresQueryRunner {
  /** Runs when the running transaction has been committed; not at all if it is rolled back. */
  afterCommit(work: () => Promise<void>): void
}

/** Whether a query runner is one of ours. */
export function isFencedQueryRunner(runner: object | undefined): runner is FencedQueryRunner {
  return runner !== undefined && "afterCommit" in runner
}

/** Makes the class of query runners for a DataSource, as a subclass of the one that its driver uses. */
export function fencedQueryRunnerClass(Base: RunnerClass, context: RunnerContext): RunnerClass {
  return class extends Base implements FencedQueryRunner {
    #changes = new Map<string, RefusedChange>()
    /** The changes up to each savepoint, to come back to. */
    #changesBefore: Map<string, RefusedChange>[] = []
    #fenced: FencedConnection | undefined
    #isUnfenced = false
    #afterCommit: (() => Promise<void>)[] = []

    constructor(driver: PostgresDriver, mode: ReplicationMode) {
      super(driver, mode)
      this.#recordChanges()
    }

    override async connect(): Promise<unknown> {
      if (!this.#fenced) this.#assertAdmitted()
      const client = await super.connect()
      this.#fenced = context.connectionOf(client)
      if (this.#fenced) this.#fenced.changes = () => [...this.#changes.values()]
      return this.#isUnfenced ? this.#fenced?.session.raw : client
    }

    override async query(
      query: string,
      parameters?: unknown[],
      useStructuredResult = false,
    ): Promise<unknown> {
      this.#assertAdmitted(query)
      try {
        return await super.query(query, parameters, useStructuredResult)
      } catch (error) {
        throw ownError(error)
      } finally {
        if (!this.isTransactionActive) this.#changes.clear()
      }
    }

    override async startTransaction(
      ...isolation: Parameters<PostgresQueryRunner["startTransaction"]>
    ): Promise<void> {
      this.#assertAdmitted()
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
      this.#changes = changes
      // What is to follow the commit may rest on what was undone.
      this.#afterCommit = []
    }

    override async release(): Promise<void> {
      // A connection that cannot be cleaned up is closed instead of being given back.
      if (!this.isReleased) await this.#fenced?.clean().catch(() => this.#fenced?.session.destroy())
      await super.release()
    }

    override createTable(...args: Parameters<PostgresQueryRunner["createTable"]>): Promise<void> {
      const create = () => super.createTable(...args)
      return context.isNeededToMigrate(args[0].name) ? this.#unfenced(create) : create()
    }

    afterCommit(work: () => Promise<void>): void {
      this.#afterCommit.push(work)
    }

    async #unfenced<T>(work: () => Promise<T>): Promise<T> {
      this.#isUnfenced = true
      try {
        return await work()
      } finally {
        this.#isUnfenced = false
      }
    }

    #assertAdmitted(query?: string): void {
      if (this.#isUnfenced || this.isReleased) return
      try {
        context.fence.assertAdmitted(context.actor())
      } catch (error) {
        const isRollback = this.#fenced && query !== undefined && classify(query, false).kind === "rollback"
        if (!isRollback) throw (this.#fenced ?? context).refused(error)
      }
    }

    #forgetTransaction(): void {
      this.#changes.clear()
      this.#changesBefore = []
      this.#afterCommit = []
    }

    /** Listens on the runner's own broadcaster: a subscriber would make TypeORM recompute every entity it saves. */
    #recordChanges(): void {
      const broadcaster = this.broadcaster as unknown as Record<keyof typeof changeEvents, Broadcast>
      for (const [event, operation] of Object.entries(changeEvents) as [
        keyof typeof changeEvents,
        RefusedChange["operation"],
      ][]) {
        const broadcast = broadcaster[event]
        broadcaster[event] = (result, metadata, ...rest) => {
          this.#changes.set(`${operation} ${metadata.name}`, { entity: metadata.name, operation })
          broadcast.call(broadcaster, result, metadata, ...rest)
        }
      }
    }
  }
}

/** TypeORM wraps whatever a query throws; an error of this package comes out as it is. */
function ownError(error: unknown): unknown {
  const { driverError } = error as { driverError?: unknown }
  return driverError instanceof MaintenanceError ? driverError : error
}
