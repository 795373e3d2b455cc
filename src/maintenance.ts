import type { DataSource, EntityManager, QueryRunner } from "typeorm"
import type { Draining } from "./drain/drain"
import { afterCommit } from "./enforcement/after-commit"
import {
  checkTransaction,
  retriedTransaction,
  type TransactionOptions,
} from "./enforcement/retried-transaction"
import { MaintenanceSetupError } from "./errors"
import { namedActor, runAs, type RunAsOptions, runWithPolicy, runWithVetoAt } from "./identity/current-actor"
import { checkCount, checkOptions, checkSignal, checkTime, checkWork, durationOf } from "./input"
import { Installation } from "./installation"
import { type MaintenanceEvents, MaintenanceListeners } from "./maintenance-events"
import type { JournalOptions, PastWindow } from "./mode/journal"
import type { Mode } from "./mode/mode"
import type { Entered, MaintenanceReport, MaintenanceStatus } from "./mode/status"
import { checkPolicy, checkVetoAt, type MaintenanceOptions, resolveOptions } from "./options"
import { type RefusalPolicy, shared } from "./shared"
import { type WaitOptions, WritableWait } from "./waiting/when-writable"
import type {
  Announced,
  CancelOptions,
  ExtendOptions,
  LeaveOptions,
  TransferOptions,
} from "./window/call-options"
import { Control } from "./window/control"
import type { AnnounceOptions, EnterOptions } from "./window/enter-options"

/** The switch of one DataSource. Made by `installMaintenance`. */
export class Maintenance {
  readonly #installation: Installation
  readonly #listeners: MaintenanceListeners
  readonly #control: Control
  readonly #writable = new WritableWait({
    refusal: (actor) => this.#installation.refusalOf(actor),
    onChange: (listener) => this.on("change", listener),
    stopped: () => this.#installation.watch.stopped,
  })

  /** Use `installMaintenance`. */
  constructor(dataSource: DataSource, options: MaintenanceOptions = {}) {
    this.#listeners = new MaintenanceListeners(dataSource)
    this.#installation = new Installation(dataSource, resolveOptions(options), {
      changed: (status) => {
        this.#control.changed(status)
        this.#listeners.emit("change", status)
      },
      read: (state) => this.#control.read(state),
      needsWindows: (status) => this.#control.needsWindows(status),
      overdue: (status) => this.#listeners.emit("overdue", status),
      refused: (error) => this.#listeners.emit("refused", error),
      stopped: () => this.#control.stop(),
    })
    this.#control = new Control(this.#installation, {
      draining: (draining) => this.#listeners.emit("draining", draining),
      onChange: (listener) => this.on("change", listener),
    })
    installedMaintenances.add(this)
  }

  /**
   * Opens a maintenance window, or switches the mode of one's own without a gap. The mode holds from the beginning on; this
   * resolves when, moreover, no write of anybody else is under way, the instances know, and what others had running was
   * waited for as `drain` says: by default not at all in concurrent mode, and for 30 seconds in exclusive mode. From then
   * on no write of anybody else commits; in exclusive mode nobody else gets a connection. `enter("normal")` is `leave()`.
   *
   * Throws NotMaintainerError if somebody else holds a window (an emergency user takes it over); WindowEndedError if this one is over
   * before it is entered; DrainTimeoutError if it is abandoned, as by default when a commit is under way for 30 seconds, and the mode is
   * what it was before; EnteringInterruptedError if the database cannot be reached for minutes, and the mode stands; OutcomeUnknownError if
   * the connection was lost, and the mode may stand or not; StateUnavailableError if the state cannot be changed for the moment; and MaintenanceInputError for an unknown mode, no user, a reason that is
   * empty or too long, or another option that makes no sense.
   */
  enter(mode: Mode, options: EnterOptions = {}): Promise<Entered> {
    return this.#control.enter(mode, options)
  }

  /**
   * Announces a window for later (`startsInMs` or `startsAt`), and resolves with its id and its time. Until then it restricts nobody. At its
   * time one of the instances begins it in the maintainer's name, and waits for what others have running as `drain` says: this one, or
   * another if this process is gone. If no instance lives then, the first that comes does, unless the window would have expired. One's own
   * that overlap are replaced; several that do not overlap may be announced. Throws NotMaintainerError if somebody else holds a window, or
   * has announced one that overlaps (an emergency user replaces it), MaintenanceInputError for a time that is past or beyond a year, and
   * for options that need a call that waits, or a process that lives: `signal`, `leaveOnSignal`, `heldWhile`, `graceMs`, `then`.
   */
  announce(mode: Mode, options: AnnounceOptions): Promise<Announced> {
    return this.#control.announce(mode, options)
  }

  /**
   * Takes back a window that was announced, by its id. Throws NotMaintainerError for a stranger, and MaintenanceInputError, which says what
   * has become of it, for a window that has begun or is over, and for an unknown id.
   */
  cancel(id: string, options: CancelOptions = {}): Promise<MaintenanceStatus> {
    return this.#control.cancel(id, options)
  }

  /**
   * Ends the window; in normal mode, takes back all that the user has announced (an emergency user who has announced nothing: all that
   * others have). Throws NotMaintainerError for a stranger,
   * MaintenanceInputError if there is nothing to end; neither with `ifHeld`.
   */
  leave(options: LeaveOptions = {}): Promise<MaintenanceStatus> {
    return this.#control.leave(options)
  }

  /**
   * Has the window end by itself at another time than was said, or not at all. Throws NotMaintainerError for a stranger,
   * MaintenanceInputError in normal mode, which is also that of a window that has ended, and for less than a second.
   */
  extend(options: ExtendOptions = {}): Promise<MaintenanceStatus> {
    return this.#control.extend(options)
  }

  /**
   * Hands the window to another maintainer; when it resolves, no write of the former one is under way any more. Throws
   * NotMaintainerError for a stranger, MaintenanceInputError in normal mode, and for nobody to hand it to; DrainTimeoutError if a
   * write of the former one is still under way after `withinMs`, though the window was handed over.
   */
  transfer(options: TransferOptions): Promise<MaintenanceStatus> {
    return this.#control.transfer(options)
  }

  /**
   * The status as this process knows it, without a question to the database; undefined while that is not known to be current, as
   * while the connection of the watch is down. It is for display: what it allows is still checked at commit.
   */
  get known(): MaintenanceStatus | undefined {
    return this.#installation.watch.known?.status
  }

  /**
   * Enters, runs the work as the maintainer, and leaves, also when the work throws. If the process ends before that, the window
   * stands; see `leaveOnSignal`, `heldWhile` and `expiresInMs`. A window that the same user held before is
   * put back as it was instead, and so is somebody else's that an emergency user took over: if that is exclusive, and this was
   * concurrent, what others have begun meanwhile is waited for as when that was entered. Resolves with what the work
   * resolves with; if the work throws, so does this. Throws NotMaintainerError if another `during` of the same user is
   * running, here or in another process; WindowEndedError if the window was over before the work was done; DrainTimeoutError if the
   * work is done, and what others have begun is not over in time; and what `enter` throws, when the work was not begun. A `during` of
   * the same user whose process is gone for 16 seconds is taken over.
   */
  during<T>(mode: Mode, options: EnterOptions, work: () => T | Promise<T>): Promise<T> {
    return this.#control.during(mode, options, work)
  }

  /**
   * The windows that are over, the last first, with what they refused; kept for `journalDays`. Throws MaintenanceInputError for an
   * option that makes no sense, and StateUnavailableError if the database does not answer.
   */
  async journal(options: JournalOptions = {}): Promise<PastWindow[]> {
    checkOptions(options, ["since", "limit"])
    const since = checkTime("since", options.since)
    const limit = checkCount("limit", options.limit, { max: 1000, fallback: 100 })
    // Nothing ended before 1970, and PostgreSQL knows no time that is as early as a Date can be.
    return this.#installation.journal({ sinceMs: since && Math.max(0, since.getTime()), limit })
  }

  /** The state, and the instances, read from the database. */
  status(): Promise<MaintenanceReport> {
    return this.#installation.report()
  }

  /**
   * Throws the refusal if whom the running code acts for may not write now: to be called before an effect outside the database,
   * which no veto undoes. It looks, and holds nothing: a window may begin right afterwards.
   */
  async assertWritable(): Promise<void> {
    await this.#installation.assertWritable(namedActor(this.#installation.options, undefined))
  }

  /**
   * Whether the user of the running code may write now, read from the database. It holds nothing: a window may begin right
   * afterwards. Throws StateUnavailableError if the database does not answer.
   */
  async isWritable(): Promise<boolean> {
    return this.#installation.isWritable(namedActor(this.#installation.options, undefined))
  }

  /**
   * Resolves when whom the running code acts for may write, at once if that is so already: for loops that take one job after
   * the other. After a window the waiting ones are released one by one, within a quarter of a second; while the database cannot be
   * reached, they go on waiting. Throws the refusal if `timeoutMs` is over, the reason of the signal, and StateUnavailableError
   * if the database does not answer when the time is over (for a second at least), or the DataSource is destroyed.
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
   * Runs the work, and all that it starts, on behalf of a user: a maintainer context if the user is the maintainer. Throws
   * MaintenanceInputError for no user, and for no function.
   */
  runAs<T>(user: string, work: () => T, options: RunAsOptions = {}): T {
    checkOptions(options, ["onRefused", "vetoAt"])
    const { onRefused, vetoAt } = options
    checkWork("runAs()", work)
    const inTime = vetoAt === undefined ? work : () => runWithVetoAt(checkVetoAt(vetoAt), work)
    const run = () => runAs(user, inTime)
    return onRefused === undefined ? run() : this.whenRefused(onRefused, run)
  }

  /**
   * Runs the work when the outermost transaction has committed; not at all if it is vetoed or rolled back, or if the savepoint within
   * which this was called is. The commit resolves after it. The transaction is that of the manager (or query runner); without one, that of
   * `maintenance.transaction()`, or of a library that gives `dataSource.manager` a query runner of its own in each context. With a manager
   * that has no transaction open, the work runs at once. It runs in the context of this call; an error of it is reported as a process
   * warning, for the commit cannot be undone. Throws MaintenanceInputError for no function, or if it is not known which transaction is meant.
   */
  afterCommit(work: () => unknown, manager?: EntityManager | QueryRunner): void {
    checkWork("afterCommit()", work)
    afterCommit(this.#installation.dataSource, work, manager)
  }

  /**
   * Runs the work, and all that it starts, with a policy of its own for whom a window restricts: `"wait"` before a connection is
   * taken, or `"throw"`; see the option `onRefused`.
   */
  whenRefused<T>(policy: RefusalPolicy, work: () => T): T {
    const checked = checkPolicy(policy)
    checkWork("whenRefused()", work)
    return runWithPolicy(checked, work)
  }

  /**
   * As `dataSource.transaction`, and run again after a serialization failure or a deadlock; each attempt meets the
   * state as it is then. A refusal is not retried.
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

  /** Listens; returns the undo. An error that a listener throws is reported as a process warning. */
  on<Event extends keyof MaintenanceEvents>(event: Event, listener: MaintenanceEvents[Event]): () => void {
    return this.#listeners.add(event, listener)
  }

  /**
   * What `on("draining")` tells, as an async iterator: of the entering that is under way in this DataSource (the last, if there
   * are several), or else of the next, until that is over, however, or the DataSource is destroyed. One is under way as soon as
   * `enter`, `during` or `transfer` was called.
   */
  draining(): AsyncIterableIterator<Draining> {
    return this.#control.draining()
  }

  /** The DataSource in which it is installed. */
  get dataSource(): DataSource {
    return this.#installation.dataSource
  }

  /** Whether its DataSource is initialized. */
  get isInUse(): boolean {
    return this.#installation.dataSource.isInitialized
  }

  /** Resolves when the plugin enforces; `dataSource.initialize()` waits for it. Throws MaintenanceSetupError. */
  ready(): Promise<void> {
    return this.#installation.ready()
  }

  /** Gives the DataSource back as it was. The state in the database stays. */
  async uninstall(): Promise<void> {
    installedMaintenances.delete(this)
    await this.#installation.uninstall()
  }
}

/** Every Maintenance of this process, by whichever copy of this package it was installed. */
export const installedMaintenances = shared.installed as Set<Maintenance>

/**
 * Installs maintenance mode in a DataSource, before or after `initialize()`. From then on every connection of the
 * DataSource is fenced; those that were taken from the pool before are not. Throws MaintenanceSetupError if the
 * DataSource is not one of PostgreSQL, has the plugin already, or TypeORM, pg or an option is not as needed.
 */
export function installMaintenance(dataSource: DataSource, options: MaintenanceOptions = {}): Maintenance {
  return new Maintenance(dataSource, options)
}

/**
 * The Maintenance of a DataSource in which it is installed, by whichever copy of this package: for dependency injection, and for code
 * that is given the DataSource alone. Throws MaintenanceSetupError if there is none.
 */
export function maintenanceOf(dataSource: DataSource): Maintenance {
  for (const maintenance of installedMaintenances)
    if (maintenance.dataSource === dataSource) return maintenance
  throw new MaintenanceSetupError(
    "Maintenance mode is not installed in this DataSource: call installMaintenance(dataSource) first.",
  )
}
