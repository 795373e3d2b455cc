import type { Draining } from "../drain/drain-plan"
import { DrainingFeed, type ReportDraining } from "../drain/draining-feed"
import { MaintenanceInputError } from "../errors"
import { currentTask, namedActor } from "../identity/current-actor"
import {
  checkExpiry,
  checkFlag,
  checkMode,
  checkOptions,
  checkProgress,
  checkUser,
  durationOf,
} from "../input"
import type { Actor } from "../mode/actor"
import type { Blocker } from "../mode/blocker"
import type { Mode } from "../mode/mode"
import type { Progress } from "../mode/progress"
import type { Entered, MaintenanceStatus, StampedState } from "../mode/status"
import { holdsNothing } from "../state/not-changed"
import type { Start } from "../state/opening"
import { checkAnnounceable, normalNotAnnounced } from "./announcement"
import type {
  Announced,
  BlockersOptions,
  CancelOptions,
  ExtendOptions,
  LeaveOptions,
  ProgressOptions,
  TransferOptions,
} from "./call-options"
import { DueWindows } from "./due-windows"
import { type AnnounceOptions, type EnterOptions, enterOptionNames } from "./enter-options"
import { Entering } from "./entering"
import { type Entry, entryOf, startOf } from "./entry"
import { HeldWindow } from "./held-window"
import type { WindowEvents, WindowHost } from "./host"
import { blockersNow } from "./preflight"
import { ProgressReports } from "./progress-reports"
import { SignalledEntering } from "./signalled-entering"
import { Tasks } from "./tasks"

/** Opens, changes and ends windows. Its methods are those of `Maintenance`, which documents them. */
export class Control {
  readonly #host: WindowHost
  readonly #feed = new DrainingFeed()
  readonly #progress = new ProgressReports({
    send: async (progress, actor) => {
      const store = await this.#host.access.store()
      await store.reportProgress(actor, progress)
    },
    windowId: () => this.#host.watch.latest?.windowId,
  })
  readonly #dueWindows = new DueWindows((id) => this.#entering.begin(id))
  readonly #entering: Entering
  readonly #signalled: SignalledEntering
  readonly #held: HeldWindow
  readonly #tasks: Tasks

  constructor(host: WindowHost, events: WindowEvents) {
    this.#host = host
    this.#entering = new Entering(host, events)
    this.#signalled = new SignalledEntering(this.#entering)
    this.#held = new HeldWindow(host)
    this.#tasks = new Tasks({
      host,
      entering: this.#entering,
      signalled: this.#signalled,
      held: this.#held,
      feed: this.#feed,
      entryOf: (mode, options, task) => this.#entryOf(mode, options, task),
    })
  }

  /** Handles a state that differs from the previous one. */
  changed(status: MaintenanceStatus): void {
    if (status.mode === "normal") this.#entering.restored.forget()
    this.#signalled.changed(status)
  }

  /** Whether all windows of a state must be read, to determine what became of the window entered here. */
  needsWindows(status: MaintenanceStatus): boolean {
    return this.#held.isPerhapsOver(status)
  }

  /** Handles every state that is read, changed or not. */
  read(state: StampedState): void {
    this.#held.read(state)
    if (this.#host.watch.canChange) this.#dueWindows.read(state)
  }

  /** Ends everything that waits, because the DataSource is being destroyed or the plugin uninstalled. */
  stop(isForGood: boolean): void {
    this.#held.forget()
    this.#signalled.release()
    this.#dueWindows.stop()
    this.#progress.stop()
    this.#feed.close(isForGood)
  }

  enter(mode: Mode, options: EnterOptions): Promise<Entered> {
    // Errors are raised only after `enter()` has returned, so that a loop over `draining()` started next
    // terminates.
    return this.#feed.whileUnderWay(async (report) =>
      checkMode(mode) === "normal" ? this.#enterNormal(options) : this.#enter(mode, options, report),
    )
  }

  async announce(mode: Mode, options: AnnounceOptions): Promise<Announced> {
    checkAnnounceable(checkMode(mode), options)
    const actor = this.#actor(options?.as)
    const { lease } = this.#host.watch
    const entry = entryOf(mode, options, { actor, lease, withinTask: undefined })
    const { id } = entry.opening
    this.#dueWindows.own(id)
    const startsAt = await this.#entering.announce(entry, entry.start as Start)
    // The window is announced, even if the state cannot be read now.
    await this.#host.access.refresh().catch(() => undefined)
    return { id, startsAt }
  }

  async cancel(id: string, options: CancelOptions): Promise<MaintenanceStatus> {
    checkOptions(options, ["as"])
    if (typeof id !== "string" || id === "" || id.includes("\0"))
      throw new MaintenanceInputError(
        "cancel() needs the id of a window, as returned by announce() or status().",
      )
    const actor = this.#actor(options.as)
    const store = await this.#host.access.store()
    await store.switching.cancel(id, actor)
    return this.#host.access.refresh()
  }

  async leave(options: LeaveOptions): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "ifHeld", "windowOnly"])
    const ifHeld = checkFlag("ifHeld", options.ifHeld)
    const windowOnly = checkFlag("windowOnly", options.windowOnly) || ifHeld
    const actor = this.#actor(options.as)
    const store = await this.#host.access.store()
    // With `ifHeld`, an emergency user may end only their own window.
    const holder = ifHeld ? { ...actor, isEmergency: false } : actor
    await this.#held
      .letGo(() => store.switching.leave(holder, { windowOnly }))
      .catch((error: unknown) => {
        if (!ifHeld || !holdsNothing(error)) throw error
      })
    return this.#host.access.refresh()
  }

  async extend(options: ExtendOptions): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "expiresInMs"])
    const expiresInMs = checkExpiry(options.expiresInMs)
    const actor = this.#actor(options.as)
    const store = await this.#host.access.store()
    await store.switching.extend(actor, expiresInMs)
    return this.#host.access.refresh()
  }

  transfer(options: TransferOptions): Promise<MaintenanceStatus> {
    return this.#feed.whileUnderWay((report) => this.#transfer(options, report))
  }

  during<T>(mode: Mode, options: EnterOptions, work: () => T | Promise<T>): Promise<T> {
    return this.#tasks.run(mode, options, work)
  }

  async progress(progress: Progress, options: ProgressOptions): Promise<void> {
    checkOptions(options, ["as"])
    await this.#progress.report(checkProgress(progress), this.#actor(options.as))
  }

  async blockers(options: BlockersOptions): Promise<readonly Blocker[]> {
    checkOptions(options, ["as", "mode"])
    const mode = options.mode === undefined ? undefined : checkMode(options.mode)
    if (mode === "normal") throw new MaintenanceInputError("Nothing is waited for to return to normal mode.")
    return blockersNow(this.#host, mode, this.#actor(options.as))
  }

  draining(): AsyncIterableIterator<Draining> {
    return this.#feed.follow()
  }

  async #enterNormal(options: EnterOptions): Promise<Entered> {
    checkOptions(options, enterOptionNames)
    if (startOf(options)) throw normalNotAnnounced()
    return { ...(await this.leave({ as: options.as })), unacknowledged: [] }
  }

  async #enter(mode: Mode, options: EnterOptions, report: ReportDraining): Promise<Entered> {
    const entry = this.#entryOf(mode, options)
    const { id, actor, withinTask } = entry.opening
    const leave = () => this.leave({ as: actor.user, ifHeld: true })
    const [entered, signalled] = await this.#signalled.enter(entry, report, leave)
    // A window entered within a task ends with that task.
    if (withinTask !== undefined) signalled?.release()
    else {
      this.#held.entered({ id, was: entered })
      this.#signalled.hold(signalled)
    }
    return entered
  }

  async #transfer(options: TransferOptions, report: ReportDraining): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "to", "withinMs"])
    const to = checkUser(options.to, "to")
    const withinMs = options.withinMs === undefined ? undefined : durationOf("withinMs", options.withinMs, 0)
    const actor = this.#actor(options.as)
    const store = await this.#host.access.store()
    const opened = await this.#held.letGo(() => store.switching.transfer(actor, to))
    const status = await this.#host.access.refresh()
    const { mode, reason, message } = status
    const waited = {
      mode,
      actor: { user: to, isEmergency: false },
      reason,
      message,
      call: "transfer()",
      isEntering: false,
      report,
    }
    await this.#entering.restored.handedOver(store, opened, { waited, withinMs })
    return status
  }

  #entryOf(mode: Mode, options: EnterOptions, task?: string): Entry {
    const actor = this.#actor(options?.as)
    return entryOf(mode, options, {
      actor,
      lease: this.#host.watch.lease,
      task,
      withinTask: currentTask(actor.user),
    })
  }

  #actor(as: string | undefined): Actor {
    return namedActor(this.#host.options, as)
  }
}
