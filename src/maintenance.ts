import { AsyncResource } from "node:async_hooks"
import { randomUUID } from "node:crypto"
import { setTimeout as pause } from "node:timers/promises"
import type { DataSource, EntityManager } from "typeorm"
import { Installation } from "./enforcement/install"
import type { Draining } from "./drain/drain"
import { DrainingFeed, type Tell } from "./drain/draining-feed"
import { checkAnnounceable } from "./drain/announced"
import { DueWindows } from "./drain/due-windows"
import { type AnnounceOptions, type EnterOptions, enterOptionNames } from "./drain/enter-options"
import { Entering } from "./drain/entering"
import { type Entry, entryOf, startOf } from "./drain/entry"
import {
  type AccessRefusedError,
  DrainTimeoutError,
  EnteringInterruptedError,
  MaintenanceInputError,
  MaintenanceSetupError,
  OutcomeUnknownError,
  type WriteVetoedError,
} from "./errors"
import { currentTask, knownUser, namedActor, runAs, runTask, runWithPolicy } from "./identity"
import type { JournalOptions, PastWindow } from "./mode/journal"
import type {
  Actor,
  Entered,
  MaintenanceReport,
  MaintenanceStatus,
  MaintenanceWindow,
  Mode,
  OpenWindow,
  StampedState,
} from "./mode/mode"
import {
  checkCount,
  checkExpiry,
  checkFlag,
  checkMode,
  checkOptions,
  checkSignal,
  checkTime,
  checkUser,
  checkWork,
  durationOf,
} from "./input"
import { checkPolicy, type MaintenanceOptions, resolveOptions } from "./options"
import { type RefusalPolicy, shared } from "./shared"
import { interruptedTask, taskEndedBySignal, taskLost } from "./drain/failure"
import { type Fate, fateOf, insteadOf, type Tenure } from "./drain/fate"
import { SignalledWindow } from "./drain/signalled-window"
import { holdsNothing } from "./state/not-changed"
import type { Opened, Start } from "./state/switching"
import { WritableWait } from "./when-writable"

/** Who changes the mode. */
export interface LeaveOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /**
   * Whether to do nothing if this user holds no window, so that a script can run twice. Somebody else's window stands, also if this
   * is an emergency user. Default: false, which throws.
   */
  ifHeld?: boolean | undefined
}

/** A window that was announced. */
export interface Announced {
  /** Names it to `cancel()`. */
  readonly id: string
  /** When it begins, on the database's clock. */
  readonly startsAt: Date
}

/** Options for `cancel()`. */
export interface CancelOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
}

/** How long a window is to stand. */
export interface ExtendOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /** After how many milliseconds from now it ends by itself; from 1000 up. Default: not at all. */
  expiresInMs?: number | undefined
}

/** To whom a window is handed. */
export interface TransferOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /** The new maintainer. */
  to: string
  /** How many milliseconds to wait for what the former one is just committing. Default: 30000. */
  withinMs?: number | undefined
}

/** How long to wait. */
export interface WaitOptions {
  /** After how many milliseconds to give up. Default: never. */
  timeoutMs?: number | undefined
  /** Gives up with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** How `maintenance.runAs` runs. */
export interface RunAsOptions {
  /** What happens if a window restricts the user: `"wait"` or `"throw"`. Default: as around it, or as the DataSource says. */
  onRefused?: RefusalPolicy | undefined
}

/** How `maintenance.transaction` runs. */
export interface TransactionOptions {
  /** Default: that of the DataSource. */
  isolation?: "READ UNCOMMITTED" | "READ COMMITTED" | "REPEATABLE READ" | "SERIALIZABLE" | undefined
  /** How many times to try again after a serialization failure (40001) or a deadlock (40P01). Default: 5. */
  retries?: number | undefined
  /** What happens if a window restricts whom it runs for: `"wait"` or `"throw"`. Default: as around it, or as the DataSource says. */
  onRefused?: RefusalPolicy | undefined
}

/** What `maintenance.on` can listen to. */
export interface MaintenanceEvents {
  /** The mode was changed, by any process. */
  change: (status: MaintenanceStatus) => void
  /** A window stands for longer than planned (`plannedForMs`): once, in every process. */
  overdue: (status: MaintenanceStatus) => void
  /** A mode is being entered by this DataSource, and others are in the way: when that changes, and every second. */
  draining: (draining: Draining) => void
  /** Something was refused in this process. */
  refused: (error: WriteVetoedError | AccessRefusedError) => void
}

/** A task that was run, the call that opened its window, and the state as that was entered. */
interface RanTask {
  readonly task: string
  readonly id: string
  readonly was: MaintenanceStatus
  readonly signalled: SignalledWindow | undefined
}

/** PostgreSQL's codes for a transaction that would succeed if it were run again. */
const retryable = new Set(["40001", "40P01"])
const firstRetryMs = 5
const lastRetryMs = 500

/** The switch of one DataSource. Made by `installMaintenance`. */
export class Maintenance {
  readonly #installation: Installation
  readonly #listeners: { [Event in keyof MaintenanceEvents]: Set<MaintenanceEvents[Event]> } = {
    change: new Set(),
    overdue: new Set(),
    draining: new Set(),
    refused: new Set(),
  }

  /** The window that this DataSource has entered last, if it is not known to be over. */
  #held: Tenure | undefined
  /** The window that this DataSource has entered last for signals to end, if it is not known to be over. */
  #signalled: SignalledWindow | undefined
  readonly #feed = new DrainingFeed()
  readonly #dueWindows = new DueWindows((id) => this.#entering.begin(id))
  readonly #entering: Entering
  readonly #writable = new WritableWait({
    refusal: (actor) => this.#installation.refusalOf(actor),
    onChange: (listener) => this.on("change", listener),
    stopped: () => this.#installation.watch.stopped,
  })

  /** Use `installMaintenance`. */
  constructor(dataSource: DataSource, options: MaintenanceOptions = {}) {
    this.#installation = new Installation(dataSource, resolveOptions(options), {
      changed: (status) => {
        if (status.mode === "normal") this.#entering.forget()
        this.#signalled?.changed(status)
        this.#emit("change", status)
      },
      read: (state) => {
        this.#lookAfterHeld(state)
        if (this.#installation.watch.canChange) this.#dueWindows.read(state)
      },
      needsWindows: ({ windowId }) => this.#held !== undefined && windowId !== this.#held.id,
      overdue: (status) => this.#emit("overdue", status),
      refused: (error) => this.#emit("refused", error),
      stopped: () => {
        this.#held = undefined
        this.#signalled?.release()
        this.#dueWindows.stop()
        this.#feed.close()
      },
    })
    this.#entering = new Entering(this.#installation, {
      draining: (draining) => this.#emit("draining", draining),
      onChange: (listener) => this.on("change", listener),
      warn,
    })
    shared.installed.add(this)
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
    return this.#feed.whileUnderWay(async (tell) => {
      if (checkMode(mode) !== "normal") {
        const entry = this.#entryOf(mode, options)
        const { actor, withinTask } = entry.opening
        const leave = () => this.leave({ as: actor.user, ifHeld: true })
        const [entered, signalled] = await this.#enterUntilSignal(entry, tell, leave)
        // What is entered within a task ends with that.
        if (withinTask !== undefined) signalled?.release()
        else {
          this.#held = { id: entry.opening.id, was: entered }
          if (signalled) this.#signalled?.release()
          this.#signalled = signalled ?? this.#signalled
        }
        return entered
      }
      checkOptions(options, enterOptionNames)
      if (startOf(options))
        throw new MaintenanceInputError("Normal mode cannot be announced: name another, or leave at once.")
      return { ...(await this.leave({ as: options.as })), unacknowledged: [] }
    })
  }

  /**
   * Announces a window for later (`startsInMs` or `startsAt`), and resolves with its id and its time. Until then it restricts nobody. At its
   * time one of the instances begins it in the maintainer's name, and waits for what others have running as `drain` says: this one, or
   * another if this process is gone. If no instance lives then, the first that comes does, unless the window would have expired. One's own
   * that overlap are replaced; several that do not overlap may be announced. Throws NotMaintainerError if somebody else holds a window, or
   * has announced one that overlaps (an emergency user replaces it), MaintenanceInputError for a time that is past or beyond a year, and
   * for options that need a call that waits, or a process that lives: `signal`, `leaveOnSignal`, `heldWhile`, `graceMs`, `then`.
   */
  async announce(mode: Mode, options: AnnounceOptions): Promise<Announced> {
    checkAnnounceable(checkMode(mode), options)
    const actor = this.#actor(options?.as)
    const { lease } = this.#installation.watch
    const entry = entryOf(mode, options, { actor, lease, withinTask: undefined })
    const { id } = entry.opening
    this.#dueWindows.own(id)
    const startsAt = await this.#entering.announce(entry, entry.start as Start)
    // It is announced, whether that can be read now or not.
    await this.#installation.refresh().catch(() => undefined)
    return { id, startsAt }
  }

  /**
   * Takes back a window that was announced, by its id. Throws NotMaintainerError for a stranger, and MaintenanceInputError, which says what
   * has become of it, for a window that has begun or is over, and for an unknown id.
   */
  async cancel(id: string, options: CancelOptions = {}): Promise<MaintenanceStatus> {
    checkOptions(options, ["as"])
    if (typeof id !== "string" || id === "" || id.includes("\0"))
      throw new MaintenanceInputError(
        "cancel() needs the id of a window, as announce() or status() tells it.",
      )
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    await store.switching.cancel(id, actor)
    return this.#installation.refresh()
  }

  /**
   * Ends the window; in normal mode, takes back all that the user has announced (an emergency user who has announced nothing: all that
   * others have). Throws NotMaintainerError for a stranger,
   * MaintenanceInputError if there is nothing to end; neither with `ifHeld`.
   */
  async leave(options: LeaveOptions = {}): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "ifHeld"])
    const ifHeld = checkFlag("ifHeld", options.ifHeld)
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    // An emergency user holds what is his own alone.
    const holder = ifHeld ? { ...actor, isEmergency: false } : actor
    await this.#letGo(() => store.switching.leave(holder, { windowOnly: ifHeld })).catch((error: unknown) => {
      if (!ifHeld || !holdsNothing(error)) throw error
    })
    return this.#installation.refresh()
  }

  /**
   * Has the window end by itself at another time than was said, or not at all. Throws NotMaintainerError for a stranger,
   * MaintenanceInputError in normal mode, which is also that of a window that has ended, and for less than a second.
   */
  async extend(options: ExtendOptions = {}): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "expiresInMs"])
    const expiresInMs = checkExpiry(options.expiresInMs)
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    await store.switching.extend(actor, expiresInMs)
    return this.#installation.refresh()
  }

  /**
   * Hands the window to another maintainer; when it resolves, no write of the former one is under way any more. Throws
   * NotMaintainerError for a stranger, MaintenanceInputError in normal mode, and for nobody to hand it to; DrainTimeoutError if a
   * write of the former one is still under way after `withinMs`, though the window was handed over.
   */
  transfer(options: TransferOptions): Promise<MaintenanceStatus> {
    return this.#feed.whileUnderWay((tell) => this.#transfer(options, tell))
  }

  async #transfer(options: TransferOptions, tell: Tell): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "to", "withinMs"])
    const to = checkUser(options.to, "to")
    const withinMs = options.withinMs === undefined ? undefined : durationOf("withinMs", options.withinMs, 0)
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    const opened = await this.#letGo(() => store.switching.transfer(actor, to))
    const status = await this.#installation.refresh()
    const { mode, reason } = status
    const waited = { mode, actor: { user: to, isEmergency: false }, reason, call: "transfer()", tell }
    await this.#entering.handedOver(store, opened, waited, withinMs)
    return status
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
   * Enters, runs the work as the maintainer, and leaves, also when the work throws. If the process ends before that, the window
   * stands; see `leaveOnSignal`, `heldWhile` and `expiresInMs`. A window that the same user held before is
   * put back as it was instead, and so is somebody else's that an emergency user took over: if that is exclusive, and this was
   * concurrent, what others have begun meanwhile is waited for as when that was entered. Resolves with what the work
   * resolves with; if the work throws, so does this. Throws NotMaintainerError if another `during` of the same user is
   * running, here or in another process; WindowEndedError if the window was over before the work was done; DrainTimeoutError if the
   * work is done, and what others have begun is not over in time; and what `enter` throws, when the work was not begun. A `during` of
   * the same user whose process is gone for 16 seconds is taken over.
   */
  async during<T>(mode: Mode, options: EnterOptions, work: () => T | Promise<T>): Promise<T> {
    const task = randomUUID()
    const ended = this.#installation.watch.entering(task)
    try {
      return await this.#during(mode, options, { task, work })
    } finally {
      ended()
    }
  }

  async #during<T>(
    mode: Mode,
    options: EnterOptions,
    { task, work }: { task: string; work: () => T | Promise<T> },
  ): Promise<T> {
    const [user, id, [was, signalled]] = await this.#feed.whileUnderWay(async (tell) => {
      if (checkMode(mode) === "normal") {
        throw new MaintenanceInputError('during("normal") makes no sense: name the mode to enter.')
      }
      const entry = this.#entryOf(mode, options, task)
      checkWork("during()", work)
      const maintainer = knownUser(entry.opening.actor)
      const leave = () => this.#endOf(task)
      const entered = await this.#enterUntilSignal(entry, tell, leave).catch(async (error: unknown) => {
        const mayStand = error instanceof EnteringInterruptedError || error instanceof OutcomeUnknownError
        throw mayStand ? await this.#putBack(task, error) : error
      })
      return [maintainer, entry.opening.id, entered] as const
    })
    const ran = { task, id, was, signalled }
    let result: T
    try {
      result = await runTask(user, task, work)
    } catch (error) {
      await this.#finish(ran).catch((failure) => {
        const isEnded = failure instanceof DrainTimeoutError
        warn(isEnded ? failure.message : `The maintenance of ${user} was not ended: ${String(failure)}`)
      })
      throw error
    }
    await this.#finish(ran)
    return result
  }

  /**
   * Throws the refusal if whom the running code acts for may not write now: to be called before an effect outside the database,
   * which no veto undoes. It looks, and holds nothing: a window may begin right afterwards.
   */
  async assertWritable(): Promise<void> {
    await this.#installation.assertWritable(this.#actor(undefined))
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
    const actor = this.#actor(undefined)
    await this.#writable.wait(actor, { timeoutMs, signal }).catch((error: unknown) => {
      throw this.#installation.refused(error)
    })
  }

  /**
   * Runs the work, and all that it starts, on behalf of a user: a maintainer context if the user is the maintainer. Throws
   * MaintenanceInputError for no user, and for no function.
   */
  runAs<T>(user: string, work: () => T, options: RunAsOptions = {}): T {
    checkOptions(options, ["onRefused"])
    const { onRefused } = options
    checkWork("runAs()", work)
    const run = () => runAs(user, work)
    return onRefused === undefined ? run() : this.whenRefused(onRefused, run)
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
    checkOptions(options, ["isolation", "retries", "onRefused"])
    checkWork("transaction()", work)
    const { isolation, retries = 5, onRefused } = options
    if (onRefused !== undefined) {
      return this.whenRefused(onRefused, () => this.transaction(work, { isolation, retries }))
    }
    if (!Number.isInteger(retries) || retries < 0) {
      throw new MaintenanceInputError(
        `The option retries is a whole number from 0 up; this one is ${retries}.`,
      )
    }
    const { dataSource } = this.#installation
    for (let attempt = 0; ; attempt++) {
      try {
        return await (isolation ? dataSource.transaction(isolation, work) : dataSource.transaction(work))
      } catch (error) {
        if (attempt >= retries || !isRetryable(error)) throw error
        await pause(Math.random() * Math.min(firstRetryMs * 2 ** attempt, lastRetryMs))
      }
    }
  }

  /** Listens; returns the undo. An error that a listener throws is reported as a process warning. */
  on<Event extends keyof MaintenanceEvents>(event: Event, listener: MaintenanceEvents[Event]): () => void {
    if (!Object.hasOwn(this.#listeners, event)) {
      throw new MaintenanceInputError(
        `Unknown event "${event}"; there are ${Object.keys(this.#listeners).join(", ")}.`,
      )
    }
    if (typeof listener !== "function") {
      throw new MaintenanceInputError(`The listener of "${event}" must be a function.`)
    }
    // In the context of this call: the connection that brings the news may have been opened in a maintainer's.
    const bound = AsyncResource.bind(listener as () => void) as MaintenanceEvents[Event]
    this.#listeners[event].add(bound)
    return () => void this.#listeners[event].delete(bound)
  }

  /**
   * What `on("draining")` tells, as an async iterator: of the entering that is under way in this DataSource (the last, if there
   * are several), or else of the next, until that is over, however, or the DataSource is destroyed. One is under way as soon as
   * `enter`, `during` or `transfer` was called.
   */
  draining(): AsyncIterableIterator<Draining> {
    return this.#feed.follow()
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
    shared.installed.delete(this)
    await this.#installation.uninstall()
  }

  #entryOf(mode: Mode, options: EnterOptions, task?: string): Entry {
    const actor = this.#actor(options?.as)
    return entryOf(mode, options, {
      actor,
      lease: this.#installation.watch.lease,
      task,
      withinTask: currentTask(actor.user),
    })
  }

  /** Ends the window by intention. */
  async #letGo<T>(end: () => Promise<T>): Promise<T> {
    const held = this.#held
    this.#held = undefined
    try {
      return await end()
    } catch (error) {
      this.#held ??= held
      throw error
    }
  }

  /** Finds out, of each state that is read, whether the window is over that was entered here. */
  #lookAfterHeld({ status, windows }: StampedState): void {
    const held = this.#held
    if (!held || status.windowId === held.id || windows.some(({ id }) => id === held.id)) return
    const successor = windows.findLast((window) => isSameSpell(window, held))
    this.#held = successor && { id: successor.id, was: successor }
    this.#sayIfOver(held, status, successor).catch(() => undefined)
  }

  /** Says in a process warning that a window is over that was entered here, for its maintainer may work on unaware. */
  async #sayIfOver(
    held: Tenure,
    status: MaintenanceStatus,
    successor: OpenWindow | undefined,
  ): Promise<void> {
    const fate = await fateOf(await this.#installation.store(), held.id)
    this.#noteIfReplaced(held, fate)
    const { maintainer, reason } = held.was
    const which = `The maintenance by ${maintainer}${reason === undefined ? "" : ` (${reason})`}`
    const why = `${fate.why}. ${insteadOf(status)}`
    if (!successor) warn(`${which} is over: ${why}`)
    // Its maintainer has entered another mode.
    else if (fate.endedBecause === "replaced") warn(`${which} is not as it was: ${why}`)
  }

  /** Notes in the journal that a window is over which was entered here, if the state is of another history, in which there is none. */
  #noteIfReplaced({ id, was }: Tenure, { endedBecause }: Fate): void {
    if (endedBecause !== "replaced") return
    const { journal } = this.#installation.watch.store
    journal.noteReplaced({ ...was, id }).catch((error: unknown) => {
      warn(`A window of ${was.maintainer} that is gone could not be noted in the journal: ${String(error)}`)
    })
  }

  /** Enters; with `leaveOnSignal`, a signal breaks that off, or ends by `leave` what has been entered. */
  async #enterUntilSignal(
    entry: Entry,
    tell: Tell,
    leave: () => Promise<unknown>,
  ): Promise<[Entered, SignalledWindow | undefined]> {
    if (!entry.leaveOnSignal) return [await this.#entering.enter(entry, tell), undefined]
    const { mode, actor } = entry.opening
    const signalled = new SignalledWindow(`the ${mode} maintenance of ${actor.user}`)
    const enter = (signal: AbortSignal) => this.#entering.enter({ ...entry, signal }, tell)
    return [await signalled.enter(enter, { signal: entry.signal, leave }), signalled]
  }

  /**
   * Ends the window of a task; throws WindowEndedError if it was gone before. If the mode that is back is stricter, waits for what
   * others have begun meanwhile; throws DrainTimeoutError if that is not over in time.
   */
  async #finish({ task, id, was, signalled }: RanTask): Promise<void> {
    const store = await this.#installation.store()
    const { mode } = this.#installation.watch.latest ?? was
    const { putBack, status } = await this.#endOf(task).finally(() => signalled?.release())
    if (signalled?.endedBy) throw taskEndedBySignal(signalled.endedBy, await fateOf(store, id), status)
    if (!putBack) {
      const fate = await fateOf(store, id)
      this.#noteIfReplaced({ id, was }, fate)
      throw taskLost(fate, status)
    }
    if (mode !== "concurrent" || status.mode !== "exclusive") return
    await this.#feed.whileUnderWay((tell) => this.#entering.putBack(store, putBack, status, tell))
  }

  /** Ends the window of a task; resolves with what is put back, if it stood, and the status. */
  async #endOf(task: string): Promise<{ putBack: Opened | undefined; status: MaintenanceStatus }> {
    const store = await this.#installation.store()
    const putBack = await store.switching.finish(task)
    return { putBack, status: await this.#installation.refresh() }
  }

  /** Ends the window of a task that was not begun, if it stands; returns the error that says what became of it. */
  async #putBack(
    task: string,
    error: EnteringInterruptedError | OutcomeUnknownError,
  ): Promise<EnteringInterruptedError | OutcomeUnknownError> {
    try {
      await this.#endOf(task)
      return interruptedTask(error)
    } catch {
      return error
    }
  }

  #actor(as: string | undefined): Actor {
    return namedActor(this.#installation.options, as)
  }

  #emit<Event extends keyof MaintenanceEvents>(
    event: Event,
    ...args: Parameters<MaintenanceEvents[Event]>
  ): void {
    for (const listener of this.#listeners[event]) {
      const report = (error: unknown) => warn(`A listener of "${event}" threw: ${String(error)}`)
      try {
        const result: unknown = (listener as (...args: Parameters<MaintenanceEvents[Event]>) => unknown)(
          ...args,
        )
        if (result instanceof Promise) result.catch(report)
      } catch (error) {
        report(error)
      }
    }
  }
}

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
  for (const maintenance of shared.installed) if (maintenance.dataSource === dataSource) return maintenance
  throw new MaintenanceSetupError(
    "Maintenance mode is not installed in this DataSource: call installMaintenance(dataSource) first.",
  )
}

/** Whether a window, that of no task, is of the same spell of maintenance as another, of the same maintainer. */
function isSameSpell(window: MaintenanceWindow, { was }: Tenure): window is OpenWindow {
  return (
    window.position !== "announced" &&
    !window.isTask &&
    window.maintainer === was.maintainer &&
    window.since.getTime() === was.since?.getTime()
  )
}

function warn(message: string): void {
  process.emitWarning(message, "MaintenanceWarning")
}

function isRetryable(error: unknown): boolean {
  const { code, driverError } = error as { code?: string; driverError?: { code?: string } }
  return retryable.has(driverError?.code ?? code ?? "")
}
