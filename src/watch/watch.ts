import type { Notification } from "pg"
import type { AccessRefusedError, WriteVetoedError } from "../errors"
import type { MinuteOfRefusals, PastWindow } from "../mode/journal"
import type { MaintenanceReport, MaintenanceStatus, StampedState } from "../mode/status"
import { isAnnounced } from "../mode/window"
import { shared, type SharedWatch } from "../shared"
import { ControlConnection, type ClientFactory } from "../state/control-connection"
import type { JournalRange } from "../state/journal"
import { RefusalCounts } from "../state/refusal-counts"
import { channelOf } from "../state/schema"
import { isLocked } from "../sqlstate"
import { StateStore } from "../state/state-store"
import { AwaitedWindows } from "./awaited-windows"
import { Delivery } from "./delivery"
import { finalReportWithinMs, sendFinalReport } from "./final-report"
import { Hearing } from "./hearing"
import { KnownState } from "./known-state"
import { Lease } from "./lease"
import { LockWarning } from "./lock-warning"
import { Membership } from "./membership"
import { NextLook } from "./next-look"
import { Pruning } from "./pruning"
import { Reconnection } from "./reconnection"
import { readStamped } from "./stamped-read"
import type { StateView } from "./state-view"
import type { WatchOwner } from "./watch-owner"

/**
 * Keeps the mode in memory, by LISTEN, and registers this process as an instance. The known state serves to
 * refuse early; it never allows a write. While the connection is down nothing is known, and the fence alone
 * decides.
 */
export class Watch implements SharedWatch, StateView {
  readonly store: StateStore
  readonly schema: string
  readonly #owner: WatchOwner
  readonly #control: ControlConnection
  readonly #channel: string
  readonly #hearing: Hearing
  readonly #delivery: Delivery
  readonly #state = new KnownState()
  readonly #listeners = new Set<() => void>()
  readonly #membership: Membership
  readonly #lease: Lease
  readonly #awaited: AwaitedWindows
  /** The refusals for the journal. */
  readonly #counts: RefusalCounts
  readonly #pruning: Pruning
  readonly #lockWarning: LockWarning
  readonly #nextLook = new NextLook(() => this.#read())
  readonly #reconnection: Reconnection
  #isRunning = false
  #stopping = new AbortController()

  constructor(createClient: ClientFactory, schema: string, owner: WatchOwner) {
    this.#control = new ControlConnection(createClient, {
      notification: (notification) => this.#notified(notification),
      lost: () => this.#lost(),
    })
    this.store = new StateStore(this.#control, schema)
    this.#lockWarning = new LockWarning(this.store)
    this.schema = schema
    this.#owner = owner
    this.#channel = channelOf(schema)
    this.#hearing = new Hearing(this.#control, this.#channel)
    this.#delivery = new Delivery({
      hearing: this.#hearing,
      isPrepared: owner.isPrepared,
      isDirect: () => this.#control.isDirect,
    })
    const { fleet, journal, switching } = this.store
    this.#lease = new Lease((name) => switching.renew(name))
    this.#counts = new RefusalCounts((counts) => journal.count(this.lease, counts))
    const { journalDays } = owner
    this.#pruning = new Pruning(async () => journalDays !== undefined && journal.prune(journalDays))
    this.#awaited = new AwaitedWindows((ids) => switching.lapseAll(ids, finalReportWithinMs))
    this.#membership = new Membership({
      fleet,
      counts: this.#counts,
      current: () => this.#state.current?.status,
      backends: (status) => owner.backends(status),
      drop: () => this.#control.drop(),
    })
    this.#reconnection = new Reconnection({
      delivery: this.#delivery,
      lease: this.#lease,
      listen: () => this.#listen(),
      refresh: () => this.refresh(),
      drop: () => this.#control.drop(),
    })
  }

  get known(): StampedState | undefined {
    return this.#delivery.isSilent ? undefined : this.#state.current
  }

  get expected(): MaintenanceStatus | undefined {
    return this.known?.status ?? (this.#delivery.isSilent ? undefined : this.#state.latest)
  }

  get latest(): MaintenanceStatus | undefined {
    return this.#state.latest
  }

  /** Aborted when the watch is stopped, for calls that wait for news. */
  get stopped(): AbortSignal {
    return this.#stopping.signal
  }

  /** Whether the watch runs on a server that accepts changes, which a read replica does not. */
  get canChange(): boolean {
    return this.#isRunning && !this.#delivery.isStandby
  }

  /** Identifier of this process in the windows that are tied to it. */
  get lease(): string {
    return this.#lease.name
  }

  /** The id of this instance, while its watch is connected. */
  get instance(): number | undefined {
    return this.#membership.id
  }

  /** Whether a pooler gives every transaction another connection, so that no session can hold a lock. */
  get isPooled(): boolean {
    return this.#delivery.isPooled
  }

  /** Whether the windows that calls here waited for were taken back when the watch was stopped. */
  get hasLapsed(): boolean {
    return this.#awaited.hasLapsed
  }

  /** Starts listening. Resolves when the state is known, and rejects if it cannot be read. */
  async start(): Promise<void> {
    this.#isRunning = true
    this.#reconnection.start()
    this.#lease.start()
    this.#membership.start()
    this.#stopping = new AbortController()
    shared.watches.add(this)
    await this.#listen()
  }

  /** Closes the connection and forgets the state. The watch can be started again. */
  async stop(): Promise<void> {
    this.#isRunning = false
    shared.watches.delete(this)
    this.#delivery.end()
    this.#reconnection.stop()
    this.#nextLook.stop()
    this.#membership.stop()
    this.#lease.stop()
    this.#hearing.stop()
    await sendFinalReport(
      { awaited: this.#awaited, counts: this.#counts, membership: this.#membership },
      this.stopped,
    )
    const closed = this.#control.close()
    this.#stopping.abort()
    await closed
    this.#membership.disconnected()
    this.#state.forget()
  }

  /** Reads the state now, and informs the owner if it has changed. */
  async refresh(): Promise<MaintenanceStatus> {
    return (await this.#readAnew()).status
  }

  /** Reads the state now, with the windows, the instances, and whether the mode is being entered. */
  async report(): Promise<MaintenanceReport> {
    const { status, windows } = await this.#readAnew(true)
    // A standby has no rows of unlogged tables.
    const instances = this.#delivery.isStandby ? [] : await this.store.fleet.instances()
    const inForce = windows.findLast((window) => !isAnnounced(window))
    const isEntering = inForce?.position === "entering" && !inForce.isInterrupted
    const state = isEntering ? "entering" : status.mode
    const isInterrupted = inForce?.isInterrupted ?? false
    const progress = inForce?.progress
    return { ...status, state, isInterrupted, ...(progress && { progress }), windows, instances }
  }

  /** Reads the windows that are over, after recording this instance's refusals. */
  async journal(range: JournalRange): Promise<PastWindow[]> {
    await this.#membership.reportRefusals()
    return this.store.journal.read(range)
  }

  /** Reads the refusals since a time, by minute, after recording this instance's own. */
  async refusals(sinceMs: number): Promise<MinuteOfRefusals[]> {
    await this.#membership.reportRefusals()
    return this.store.journal.refusals(sinceMs)
  }

  /** Records a call that waits for the start of the window it has announced. Returns the undo. */
  awaiting(id: string): () => void {
    return this.#awaited.add(id)
  }

  /** Records a call that enters or announces a window, or a running task. Returns the undo. */
  entering(entry: string): () => void {
    return this.#membership.entering(entry)
  }

  /** Renews the lease of windows tied to this process. Does not keep the process alive. */
  keepRenewing(graceMs: number): void {
    this.#lease.keepRenewing(graceMs)
  }

  /** Counts a refusal of this instance. A replica cannot record it in the journal. */
  countRefusal(error: WriteVetoedError | AccessRefusedError): void {
    this.#membership.countRefusal(error, !this.#delivery.isStandby)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  doubt(): void {
    if (this.#state.doubt()) this.#read()
  }

  /** Records that the state was changed. Until the new state is read, the fence decides. */
  outdate(): void {
    this.#state.outdate()
    if (!this.#delivery.isSilent) this.#read()
  }

  /** Outdates the other watches of this process, so that none refuses by a former state. */
  outdateOthers(): void {
    for (const watch of shared.watches) if (watch !== this && watch.schema === this.schema) watch.outdate()
  }

  async #readAnew(isWhole = false): Promise<StampedState> {
    const { changes } = this.#state
    const needsWindows = (status: MaintenanceStatus) => this.#owner.needsWindows(status)
    const state = await readStamped(this.store, { isWhole, needsWindows })
    const { status } = state
    this.#lockWarning.reset()
    const isChanged = this.#state.read(state, changes)
    if (isChanged) this.#changed(status)
    this.#owner.read(state)
    if (!this.#delivery.isStandby) this.#pruning.looked(isChanged)
    if (this.#state.becameOverdue(status)) this.#owner.overdue(status)
    this.#membership.report()
    if (this.#isRunning) this.#nextLook.after(state, this.#delivery.isStandby)
    else this.#nextLook.stop()
    // The watch does not wait for sessions that lock the state. A failure is made up for after the next read.
    this.store.switching.voidDoubtful().catch(() => undefined)
    return state
  }

  /** The calls that wait go on before the application's listeners run. */
  #changed(status: MaintenanceStatus): void {
    for (const listener of this.#listeners) listener()
    this.#owner.changed(status)
  }

  async #listen(): Promise<void> {
    await this.#delivery.begin()
    await this.refresh()
    this.#reconnection.connected()
    this.#lease.connectedAgain()
    if (this.#delivery.isPolled) return
    const { epoch } = this.#state.latest as MaintenanceStatus
    await this.#membership.register(epoch)
  }

  /** Reads the state. A failure drops the connection, except when the state is locked. */
  #read(): void {
    this.refresh().catch((error: unknown) => {
      if (!isLocked(error)) return this.#control.drop()
      void this.#lockWarning.give(error)
      this.#nextLook.soon()
    })
  }

  #notified({ channel, payload }: Notification): void {
    if (channel !== this.#channel || !this.#isRunning || this.#hearing.takes(payload)) return
    if (payload === "tell") this.#membership.asked()
    else if (payload === "windows") this.#read()
    else this.outdate()
  }

  #lost(): void {
    this.#delivery.end()
    this.#state.doubt()
    this.#membership.disconnected()
    this.#reconnection.lost()
  }
}
