import { QueryRunnerAlreadyReleasedError, type ReplicationMode } from "typeorm"
import type { PostgresDriver } from "typeorm/driver/postgres/PostgresDriver.js"
import type { PostgresQueryRunner } from "typeorm/driver/postgres/PostgresQueryRunner.js"
import { MaintenanceError } from "../errors"
import type { Actor } from "../mode/actor"
import type { Enforcement } from "./enforcement"
import type { FencedConnection } from "./fenced-connection"
import type { RefusedChange } from "../mode/refused-change"
import { classify } from "./statement-kind"
import { type AfterCommit, TransactionRecord } from "./transaction-record"

/** The parts of the installation that a query runner needs. */
export interface RunnerContext extends Enforcement {
  /** Returns the fenced connection of a client that the driver has lent. */
  connectionOf(client: unknown): FencedConnection | undefined
  /** Whether a restricted user waits before a connection is taken. */
  isWaiting(): boolean
  /** Whether TypeORM itself needs this table before the migration that installs the schema can run. */
  isNeededToMigrate(table: string): boolean
  /** Called when a transaction was committed. The commit resolves after the returned promise. */
  committed(): Promise<void> | undefined
  /** Whether a write of the ORM is refused before it is sent, if a window restricts the running code. */
  isVetoedAtWrite(): boolean
  /**
   * Returns the refusal of a write, read from the database; undefined for an actor who may write, and if the
   * state cannot be read.
   */
  writeRefusal(actor: Actor, changes: () => readonly RefusedChange[]): Promise<Error | undefined>
}

type RunnerClass = new (driver: PostgresDriver, mode: ReplicationMode) => PostgresQueryRunner

/** TypeORM's query runner with early refusals, the record of its transaction, and work after its commit. */
export interface FencedQueryRunner extends PostgresQueryRunner {
  /** The ORM's changes that a veto undoes now. */
  readonly changes: RefusedChange[]
  /** Runs the work when the outermost transaction has been committed; not at all if it is rolled back. */
  afterCommit(work: AfterCommit): void
  /** Records a change that the ORM has made. */
  changed(change: RefusedChange): void
  /** Records a change that the ORM is about to make. Rejects if it is refused before it is sent. */
  aboutToChange(change: RefusedChange): Promise<void> | undefined
}

/** Whether a query runner was made by this package. */
export function isFencedQueryRunner(runner: object | undefined): runner is FencedQueryRunner {
  return runner !== undefined && "aboutToChange" in runner
}

/**
 * Makes the class of query runners for a DataSource: a subclass of the one that its driver uses, of which
 * `sample` is an instance.
 */
export function fencedQueryRunnerClass(sample: PostgresQueryRunner, context: RunnerContext): RunnerClass {
  const Base = sample.constructor as RunnerClass
  return class extends Base implements FencedQueryRunner {
    readonly #record = new TransactionRecord()
    #isUnfenced = false
    /** Number of calls of `query()` that have not ended. */
    #running = 0
    /** Called when there are none. */
    #idle: (() => void) | undefined
    /** The release that is under way. `destroy()` releases a runner until it is gone. */
    #releasing: Promise<void> | undefined
    /** Several entities that a user saves together are refused once. */
    readonly #vetoing = new Map<string | undefined, Promise<void>>()

    // Few async functions below: where AsyncLocalStorage is in use, each promise has a cost.

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
      this.#running++
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
      if (this.isTransactionActive) this.#record.savepoint(this.transactionDepth)
      else this.#record.end()
      return super.startTransaction(...isolation)
    }

    override commitTransaction(): Promise<void> {
      const [wasActive, depth] = [this.isTransactionActive, this.transactionDepth]
      return super.commitTransaction().then(
        () => this.#ended(depth),
        // A subscriber may throw although the server has committed.
        async (error: unknown) => {
          if (wasActive) await this.#ended(depth)
          throw error
        },
      )
    }

    override async rollbackTransaction(): Promise<void> {
      const depth = this.transactionDepth
      try {
        await super.rollbackTransaction()
      } finally {
        if (!this.isTransactionActive) this.#record.end()
        else if (this.transactionDepth < depth) this.#record.rollBackToSavepoint(this.transactionDepth)
      }
    }

    override release(): Promise<void> {
      if (this.#releasing) return this.#releasing
      const fenced = this.isReleased ? undefined : this.#fenced
      // A statement for which pg no longer waits is not awaited here, either.
      const isIdle = this.#running === 0 && fenced?.isClean
      if (!fenced || fenced.session.isGivenUp || isIdle) return super.release()
      this.#releasing = this.#releaseCleaned(fenced).finally(() => (this.#releasing = undefined))
      return this.#releasing
    }

    override createTable(...args: Parameters<PostgresQueryRunner["createTable"]>): Promise<void> {
      const create = () => super.createTable(...args)
      return context.isNeededToMigrate(args[0].name) ? this.#unfenced(create) : create()
    }

    get changes(): RefusedChange[] {
      return this.#record.changes
    }

    afterCommit(work: AfterCommit): void {
      this.#record.afterCommit(work)
    }

    changed(change: RefusedChange): void {
      // Outside a transaction it is committed already.
      if (this.isTransactionActive) this.#record.changed(change)
    }

    aboutToChange(change: RefusedChange): Promise<void> | undefined {
      this.#record.expect(change)
      if (!context.isVetoedAtWrite()) return undefined
      const actor = context.actor()
      const known = this.#vetoing.get(actor.user)
      if (known) return known
      const vetoed = this.#vetoWrite(actor)
      this.#vetoing.set(actor.user, vetoed)
      return vetoed
    }

    /**
     * Gives back a connection on which something is open: what its holder has sent ends first, and a transaction is
     * then rolled back. From the beginning the runner takes nothing more, as in plain TypeORM: after the rollback,
     * a statement would run, and a COMMIT succeed, outside of the transaction for which it was meant.
     */
    async #releaseCleaned(fenced: FencedConnection): Promise<void> {
      this.isReleased = true
      // A statement that was requested before may still be on its way, as behind a subscriber that takes its time.
      if (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
      // A connection that cannot be cleaned up is closed instead of being given back.
      await fenced.clean()?.catch(() => fenced.session.destroy())
      this.isReleased = false
      await super.release()
    }

    /**
     * Gives back a connection that arrives after the release. TypeORM (0.3 to 1.1) keeps it, so that
     * `destroy()` would never end.
     */
    async #refuseReleased(): Promise<never> {
      if (this.databaseConnection) {
        // Nothing has run on it. The call that asked for it is still under way.
        this.isReleased = false
        await super.release()
      }
      throw new QueryRunnerAlreadyReleasedError()
    }

    get #fenced(): FencedConnection | undefined {
      return this.databaseConnection ? context.connectionOf(this.databaseConnection) : undefined
    }

    #queried(): void {
      if (--this.#running === 0) this.#idle?.()
      if (!this.isTransactionActive) this.#record.forgetExpected()
    }

    /** The server has ended a transaction or released a savepoint, if TypeORM's own record says so. */
    #ended(depth: number): Promise<void> | undefined {
      if (!this.isTransactionActive) return this.#committed()
      if (this.transactionDepth < depth) this.#record.releaseSavepoint(this.transactionDepth)
      return undefined
    }

    #committed(): Promise<void> | undefined {
      const ended = this.#record.end()
      const work = this.#fenced?.hasCommitted === false ? [] : ended
      const told = context.committed()
      const follow = () => inOrder(work)
      if (told)
        return Promise.allSettled([told])
          .then(follow)
          .then(() => told)
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

    /** Reads the state before it refuses a write, because the known state may be outdated. */
    async #vetoWrite(actor: Actor): Promise<void> {
      // By then, all entities of one save() are recorded.
      const refusal = await context
        .writeRefusal(actor, () => this.changes)
        .finally(() => this.#vetoing.delete(actor.user))
      if (!refusal) return
      this.#record.forgetExpected()
      this.#fenced?.note({ actor, kind: "atomic" })
      await (this.#fenced ?? context).refuse(refusal)
    }
  }
}

async function inOrder(work: readonly AfterCommit[]): Promise<void> {
  for (const run of work) await run()
}

/** Returns the error of this package that TypeORM has wrapped, or else the given one. */
function ownError(error: unknown): unknown {
  const { driverError } = error as { driverError?: unknown }
  return driverError instanceof MaintenanceError ? driverError : error
}
