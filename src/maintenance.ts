import type { DataSource, EntityManager, QueryRunner } from "typeorm"
import { afterCommit } from "./enforcement/after-commit"
import {
  checkTransaction,
  retriedTransaction,
  type TransactionOptions,
} from "./enforcement/retried-transaction"
import { MaintenanceSetupError } from "./errors"
import { namedActor, runAs, type RunAsOptions, runWithPolicy, runWithVetoAt } from "./identity/current-actor"
import { checkOptions, checkSignal, checkWork, durationOf } from "./input"
import { Installation } from "./installation"
import { MaintenanceControl } from "./maintenance-control"
import { checkPolicy, checkVetoAt, type MaintenanceOptions, resolveOptions } from "./options"
import { type RefusalPolicy, shared } from "./shared"
import { type WaitOptions, WritableWait } from "./waiting/when-writable"

/** The maintenance mode of a DataSource that has the plugin. Made by `installMaintenance()`. */
export class Maintenance extends MaintenanceControl {
  readonly #installation: Installation
  readonly #writable = new WritableWait({
    refusal: (actor) => this.#installation.refusalOf(actor),
    onChange: (listener) => this.on("change", listener),
    stopped: () => this.#installation.watch.stopped,
  })

  /** Use `installMaintenance()`. */
  constructor(dataSource: DataSource, options: MaintenanceOptions = {}) {
    let installation: Installation | undefined
    super(
      (events) => (installation = new Installation(dataSource, resolveOptions(options), events)),
      dataSource,
    )
    this.#installation = installation as unknown as Installation
    installedMaintenances.add(this)
  }

  /**
   * Throws the refusal if the current user may not write now, and StateUnavailableError if the database does
   * not answer. Call it before an effect outside the database, which no veto undoes. It reads the state and
   * holds nothing: a window may begin immediately afterwards.
   */
  async assertWritable(): Promise<void> {
    await this.#installation.assertWritable(namedActor(this.#installation.options, undefined))
  }

  /**
   * Whether the current user may write now, read from the database. It holds nothing: a window may begin
   * immediately afterwards. Throws StateUnavailableError if the database does not answer.
   */
  async isWritable(): Promise<boolean> {
    return this.#installation.isWritable(namedActor(this.#installation.options, undefined))
  }

  /**
   * Resolves when the current user may write, at once if the user already may. It is for loops that take one
   * job after another. After a window the waiting calls resolve one by one, within a quarter of a second.
   * While the database cannot be reached, they continue to wait.
   *
   * Throws:
   *
   * - The refusal after `timeoutMs`.
   * - The reason of the signal.
   * - StateUnavailableError if the database does not answer at the end of that time. It is given at least one
   *   second.
   * - StateUnavailableError if the DataSource is destroyed.
   */
  async whenWritable(options: WaitOptions = {}): Promise<void> {
    checkOptions(options, ["timeoutMs", "signal"])
    const timeoutMs = durationOf("timeoutMs", options.timeoutMs, Number.POSITIVE_INFINITY)
    const signal = checkSignal(options.signal)
    const actor = namedActor(this.#installation.options, undefined)
    await this.#writable.wait(actor, { timeoutMs, signal }).catch((error: unknown) => {
      throw this.#installation.refused(error)
    })
  }

  /**
   * Runs the work, and everything it starts, on behalf of a user. It is a maintainer context if the user is
   * the maintainer. Throws MaintenanceInputError for an invalid user or option, and if `work` is no function.
   */
  runAs<T>(user: string, work: () => T, options: RunAsOptions = {}): T {
    checkOptions(options, ["onRefused", "vetoAt"])
    const { onRefused, vetoAt } = options
    checkWork("runAs()", work)
    const vetoed = vetoAt === undefined ? work : () => runWithVetoAt(checkVetoAt(vetoAt), work)
    const run = () => runAs(user, vetoed)
    return onRefused === undefined ? run() : this.whenRefused(onRefused, run)
  }

  /**
   * Runs the work, and everything it starts, with its own policy for calls that a window restricts: `"wait"`
   * before a connection is taken, or `"throw"`. See the option `onRefused`. Throws MaintenanceInputError.
   */
  whenRefused<T>(policy: RefusalPolicy, work: () => T): T {
    const checked = checkPolicy(policy)
    checkWork("whenRefused()", work)
    return runWithPolicy(checked, work)
  }

  /**
   * Runs a transaction as `dataSource.transaction()` does, and again after a serialization failure or a
   * deadlock. Each attempt meets the state as it is then. A refusal is not retried. Throws
   * MaintenanceInputError for invalid arguments.
   */
  async transaction<T>(
    work: (manager: EntityManager) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkTransaction(work, options)
    const { dataSource } = this.#installation
    const run = () => retriedTransaction(dataSource, work, options)
    return options.onRefused === undefined ? run() : this.whenRefused(options.onRefused, run)
  }

  /**
   * Runs the work after the outermost transaction has committed. It does not run after a veto or a rollback,
   * nor if the savepoint in which it was requested is rolled back. The call that commits resolves after the
   * work.
   *
   * The transaction is that of `manager`, an entity manager or a query runner. Without it, the transaction is
   * that of `maintenance.transaction()`, or of a library that gives `dataSource.manager` a query runner for
   * each context. If the given manager has no transaction open, the work runs immediately.
   *
   * The connection is given back after the work. If the work needs another connection of the same DataSource,
   * as many transactions as the pool has connections can wait for each other. Then start the work without
   * awaiting it.
   *
   * The work runs in the context of this call. If it fails, a process warning reports that, because the
   * commit cannot be undone. Throws MaintenanceInputError if `work` is no function, or if the transaction is
   * not known.
   */
  afterCommit(work: () => unknown, manager?: EntityManager | QueryRunner): void {
    checkWork("afterCommit()", work)
    afterCommit(this.#installation.dataSource, work, manager)
  }

  /** The DataSource in which the plugin is installed. */
  get dataSource(): DataSource {
    return this.#installation.dataSource
  }

  /** Whether its DataSource is initialized. */
  get isInUse(): boolean {
    return this.#installation.dataSource.isInitialized
  }

  /**
   * Resolves when the plugin enforces; `dataSource.initialize()` waits for it. Throws MaintenanceSetupError.
   */
  ready(): Promise<void> {
    return this.#installation.ready()
  }

  /** Restores the DataSource as it was before the installation. The state in the database stays. */
  async uninstall(): Promise<void> {
    installedMaintenances.delete(this)
    await this.#installation.uninstall()
  }
}

/** Every Maintenance of this process, installed by any copy of this package. */
export const installedMaintenances = shared.installed as Set<Maintenance>

/**
 * Installs maintenance mode in a DataSource, before or after `initialize()`. From then on every connection of
 * the DataSource is fenced, including those in use, from their next statement.
 *
 * Throws MaintenanceSetupError in these cases:
 *
 * - The DataSource is not one of PostgreSQL, or has the plugin already.
 * - The version of TypeORM or `pg` is not supported.
 * - An option is invalid.
 */
export function installMaintenance(dataSource: DataSource, options: MaintenanceOptions = {}): Maintenance {
  return new Maintenance(dataSource, options)
}

/**
 * Returns the Maintenance of a DataSource in which the plugin is installed, by any copy of this package: for
 * dependency injection, and for code that is given the DataSource alone. Throws MaintenanceSetupError if the
 * plugin is not installed in it.
 */
export function maintenanceOf(dataSource: DataSource): Maintenance {
  for (const maintenance of installedMaintenances)
    if (maintenance.dataSource === dataSource) return maintenance
  throw new MaintenanceSetupError(
    "Maintenance mode is not installed in this DataSource. Call installMaintenance(dataSource) first.",
  )
}
