import type { Draining } from "./drain/drain-plan"
import { MaintenanceInputError } from "./errors"
import { checkCount, checkOptions, checkText, checkTime } from "./input"
import { type MaintenanceEvents, MaintenanceListeners } from "./maintenance-events"
import type { Blocker } from "./mode/blocker"
import type { JournalOptions, MinuteOfRefusals, PastWindow, RefusalsOptions } from "./mode/journal"
import type { Mode } from "./mode/mode"
import type { Progress } from "./mode/progress"
import type { Entered, MaintenanceReport, MaintenanceStatus } from "./mode/status"
import type { MaintenanceOptions } from "./options"
import type {
  Announced,
  BlockersOptions,
  CancelOptions,
  ExtendOptions,
  LeaveOptions,
  ProgressOptions,
  TransferOptions,
} from "./window/call-options"
import { Control } from "./window/control"
import type { AnnounceOptions, EnterOptions } from "./window/enter-options"
import type { HostEvents, WindowHost } from "./window/host"

const hourMs = 3_600_000
/** Maximum length of a window's id, in characters. */
const maxIdLength = 200
/** Longest time for which refusals by minute can be read, in milliseconds. */
const longestRefusalsMs = 7 * 24 * hourMs

/**
 * Changes the mode and reports the state. `installMaintenance()` returns one for a DataSource, and
 * `connectMaintenance()` one with a connection of its own.
 */
export class MaintenanceControl {
  readonly #host: WindowHost
  readonly #listeners: MaintenanceListeners
  readonly #control: Control

  /**
   * Use `installMaintenance()` or `connectMaintenance()`.
   *
   * @internal
   */
  protected constructor(makeHost: (events: HostEvents) => WindowHost, dataSource?: object) {
    this.#listeners = new MaintenanceListeners(dataSource)
    this.#host = makeHost({
      changed: (status) => {
        this.#control.changed(status)
        this.#listeners.emit("change", status)
      },
      read: (state) => this.#control.read(state),
      needsWindows: (status) => this.#control.needsWindows(status),
      overdue: (status) => this.#listeners.emit("overdue", status),
      refused: (error) => this.#listeners.emit("refused", error),
      stopped: (isForGood) => this.#control.stop(isForGood),
    })
    this.#control = new Control(this.#host, {
      draining: (draining) => this.#listeners.emit("draining", draining),
      onChange: (listener) => this.on("change", listener),
    })
  }

  /**
   * Opens a window, or switches the mode of your own window without a gap. The mode restricts other users
   * from the beginning of the call. The call resolves when these conditions hold:
   *
   * - No write of other users is in flight.
   * - All live instances know the mode, or `acknowledgeWithinMs` is over.
   * - The in-flight transactions of other users were waited for as `drain` says. By default that is not at
   *   all in concurrent mode, and for 30 seconds in exclusive mode.
   *
   * From then on no write of other users commits; in exclusive mode other users get no connection.
   * `enter("normal")` is `leave()`.
   *
   * Throws:
   *
   * - NotMaintainerError if another user holds a window. An emergency user takes it over instead.
   * - WindowEndedError if the window was over before the call resolved.
   * - DrainTimeoutError if the window was abandoned because a blocker did not end.
   * - EnteringInterruptedError if the mode is in force, but the database could not be reached for minutes.
   * - OutcomeUnknownError if the connection was lost. The mode may be in force.
   * - StateUnavailableError if the state cannot be changed now.
   * - MaintenanceInputError for invalid arguments.
   */
  enter(mode: Mode, options: EnterOptions = {}): Promise<Entered> {
    return this.#control.enter(mode, options)
  }

  /**
   * Announces a window for later (`startsInMs` or `startsAt`), and resolves with its id and its time. Until
   * then it restricts no user. At that time one of the instances begins it in the maintainer's name, and
   * drains as `drain` says. If this process is gone, another instance begins it. If no instance lives then,
   * the first that comes begins it, unless the window would have expired. The call replaces your own
   * announced windows that overlap with it.
   *
   * Throws:
   *
   * - NotMaintainerError if another user holds a window, or has announced one that overlaps. An emergency
   *   user replaces it instead.
   * - MaintenanceInputError for a time in the past or more than a year ahead.
   * - MaintenanceInputError for options that need a waiting call or a living process: `signal`,
   *   `leaveOnSignal`, `heldWhile`, `graceMs`, `then`.
   */
  announce(mode: Mode, options: AnnounceOptions): Promise<Announced> {
    return this.#control.announce(mode, options)
  }

  /**
   * Cancels an announced window.
   *
   * Throws:
   *
   * - NotMaintainerError if another user has announced it.
   * - MaintenanceInputError for an unknown id, and for a window that has begun or is over.
   */
  cancel(id: string, options: CancelOptions = {}): Promise<MaintenanceStatus> {
    return this.#control.cancel(id, options)
  }

  /**
   * Ends the window. In normal mode, it cancels all windows that you have announced. An emergency user who
   * has announced none cancels those of all users.
   *
   * Throws the following, or neither with `ifHeld`:
   *
   * - NotMaintainerError if another user holds the window.
   * - MaintenanceInputError if there is nothing to end.
   */
  leave(options: LeaveOptions = {}): Promise<MaintenanceStatus> {
    return this.#control.leave(options)
  }

  /**
   * Changes when the window ends by itself. Without `expiresInMs` it no longer does.
   *
   * Throws:
   *
   * - NotMaintainerError if another user holds the window.
   * - MaintenanceInputError in normal mode, and for less than a second.
   */
  extend(options: ExtendOptions = {}): Promise<MaintenanceStatus> {
    return this.#control.extend(options)
  }

  /**
   * Hands the window to another maintainer. When it resolves, no write of the former maintainer is in flight.
   *
   * Throws:
   *
   * - NotMaintainerError if another user holds the window.
   * - MaintenanceInputError in normal mode, and without a user in `to`.
   * - DrainTimeoutError if a write of the former maintainer is still in flight after `withinMs`. The window
   *   has been handed over.
   * - WindowEndedError if the window of the new maintainer is over before these writes are.
   */
  transfer(options: TransferOptions): Promise<MaintenanceStatus> {
    return this.#control.transfer(options)
  }

  /**
   * The status as this process knows it, without a query. Undefined while it may be outdated, for example
   * while the watch is not connected. Use it for display only: the fence decides at the commit.
   */
  get known(): MaintenanceStatus | undefined {
    return this.#host.watch.known?.status
  }

  /**
   * Enters the mode, runs the work as the maintainer, and leaves, also if the work throws. It resolves or
   * rejects with the result of the work. At the end it restores the window that it covered: your own, or
   * another user's if an emergency user took that over. If the process ends before that, the window stays;
   * see `leaveOnSignal`, `heldWhile` and `expiresInMs`.
   *
   * Throws:
   *
   * - What `enter()` throws. The work was not begun then.
   * - NotMaintainerError if another `during()` of the same user is running, in any process. One whose process
   *   is gone for 16 seconds is taken over.
   * - WindowEndedError if the window was over before the work was done.
   * - DrainTimeoutError if the work is done and exclusive mode is restored, but in-flight transactions of
   *   other users do not end in time.
   */
  during<T>(mode: Mode, options: EnterOptions, work: () => T | Promise<T>): Promise<T> {
    return this.#control.during(mode, options, work)
  }

  /**
   * Reads the windows that are over, the last one first, with what they refused. They are kept for
   * `journalDays`.
   *
   * Throws:
   *
   * - MaintenanceInputError for invalid options.
   * - StateUnavailableError if the database does not answer.
   */
  async journal(options: JournalOptions = {}): Promise<PastWindow[]> {
    checkOptions(options, ["since", "limit", "before"])
    const since = checkTime("since", options.since)
    const limit = checkCount("limit", options.limit, { max: 1000, fallback: 100 })
    // No window ended before 1970, and PostgreSQL has no time as early as the earliest Date.
    const before = checkText("before", options.before, maxIdLength)
    return this.#host.access.journal({ sinceMs: since && Math.max(0, since.getTime()), limit, before })
  }

  /**
   * Reads the refusals since a time, by minute; the first minute first. Each process reports its own within 10
   * seconds. Throws MaintenanceInputError for invalid options, and StateUnavailableError if the database does not
   * answer.
   */
  async refusals(options: RefusalsOptions = {}): Promise<MinuteOfRefusals[]> {
    checkOptions(options, ["since"])
    const sinceMs = checkTime("since", options.since)?.getTime() ?? Date.now() - hourMs
    if (sinceMs < Date.now() - longestRefusalsMs)
      throw new MaintenanceInputError(
        "The option since must be at most 7 days ago. The journal has the refusals of earlier windows.",
      )
    return this.#host.access.refusals(sinceMs)
  }

  /**
   * Reads the transactions that `enter(mode)` would wait for if it was called now, oldest first. While a window is
   * being entered, it reads those that are still waited for, whichever process waits. In concurrent mode these are
   * only the commits under way. Transactions of the maintainer in other processes are included in normal mode,
   * because the instances do not know yet who that is. Throws MaintenanceInputError for invalid options, and
   * StateUnavailableError if the database does not answer.
   */
  blockers(options: BlockersOptions = {}): Promise<readonly Blocker[]> {
    return this.#control.blockers(options)
  }

  /**
   * Reports the progress of your work in the window in force. `status()` shows it, as do the panel and the command
   * line. Call it as often as you like: the database receives one report a second, the last one. A database that
   * does not answer is not an error.
   *
   * Throws NotMaintainerError for another user's window, and MaintenanceInputError in normal mode and for an invalid
   * progress.
   */
  progress(progress: Progress, options: ProgressOptions = {}): Promise<void> {
    return this.#control.progress(progress, options)
  }

  /**
   * Reads the state, the windows that are not over, and the instances. Throws StateUnavailableError if the
   * database does not answer.
   */
  status(): Promise<MaintenanceReport> {
    return this.#host.access.report()
  }

  /**
   * The options with which `connectMaintenance()` reaches the same state, for tools that change the mode over a
   * connection of their own.
   */
  get connectOptions(): Pick<MaintenanceOptions, "schema" | "emergencyUsers" | "showsQueries"> {
    const { schema, emergencyUsers, showsQueries } = this.#host.options
    return { schema, emergencyUsers: [...emergencyUsers], showsQueries }
  }

  /**
   * Adds a listener for an event, and returns the undo. An error of a listener is reported as a process
   * warning. Throws MaintenanceInputError for an unknown event.
   */
  on<Event extends keyof MaintenanceEvents>(event: Event, listener: MaintenanceEvents[Event]): () => void {
    return this.#listeners.add(event, listener)
  }

  /**
   * Iterates over the reports of the event `draining`, for the `enter()`, `during()` or `transfer()` that was
   * called last on this object, or else for the next one. It ends when that call ends, or when this is
   * closed.
   */
  draining(): AsyncIterableIterator<Draining> {
    return this.#control.draining()
  }
}
