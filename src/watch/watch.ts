import { randomUUID } from "node:crypto"
import { setTimeout as pause } from "node:timers/promises"
import type { Notification } from "pg"
import { type AccessRefusedError, MaintenanceSetupError, type WriteVetoedError } from "../errors"
import type { PastWindow } from "../mode/journal"
import type { MaintenanceReport, MaintenanceStatus, StampedState } from "../mode/status"
import type { MaintenanceWindow } from "../mode/window"
import { shared, type SharedWatch } from "../shared"
import { ControlConnection, type ClientFactory } from "../state/control-connection"
import { channelOf } from "../state/schema"
import type { Backend } from "../state/fleet"
import { Hearing } from "./hearing"
import type { JournalRange } from "../state/journal"
import { Pruning } from "./pruning"
import { RefusalCounts } from "../state/refusal-counts"
import { isLocked } from "../state/sqlstate"
import { StateStore } from "../state/state-store"

/** How often the state is read where LISTEN does not deliver. */
const pollMs = 1000
const firstRetryMs = 200
const lastRetryMs = 10_000
/** How long a refusal may stay untold. */
const tellWithinMs = 10_000

/** Within what time the instances notice that a window has expired, so that they do not all at once. */
const expirySpreadMs = 100
/** After how long at most the state is read again while it restricts somebody, so that a connection that went dead in silence is noticed. */
const lookAgainMs = 5000
/** How often it is tried to give the state a stamp again, if somebody is in the way. */
const mendAgainMs = 250
/** How often a window that is tied to this process is put off within the time that it goes on without, so that one may fail. */
const renewals = 3
/** How often it is tried within that time to connect again. */
const triesInGrace = 10
/** Time for the last words when the watch stops: what is announced is taken back, and refusals are recorded. */
const sayWithinMs = 2000
/** The same while it restricts nobody: it is a connection's only traffic then. */
const lookAgainIdleMs = 30_000
/** How changes of the state come to be known: by LISTEN, by reading it again and again, or not at all. */
type News = "notified" | "polled" | "none"

/** What a watch needs of its owner. */
export interface WatchOwner {
  /** Told of every new state. */
  changed(status: MaintenanceStatus): void
  /** Told of every state that is read, be it new or not. */
  read(state: StampedState): void
  /** Whether all windows of a state are to be read, for what `read` is to find out. */
  needsWindows(status: MaintenanceStatus): boolean
  /** Told once of a window that stands for longer than planned. */
  overdue(status: MaintenanceStatus): void
  /** Whether sessions keep statements prepared. */
  readonly isPrepared: boolean
  /** For how many days the journal is kept. */
  readonly journalDays: number
  /** What the others are to know of the pools, in a state. */
  backends(status: MaintenanceStatus): readonly Backend[]
}

/**
 * Keeps the mode in memory, by LISTEN, and makes this process an instance that the others see. What it knows serves to
 * refuse early; it never allows a write. While the connection is down nothing is known, and the fence alone decides.
 */
export class Watch implements SharedWatch {
  readonly store: StateStore
  readonly schema: string
  readonly #control: ControlConnection
  readonly #channel: string
  readonly #hearing: Hearing
  readonly #onChange: WatchOwner["changed"]
  readonly #onRead: WatchOwner["read"]
  readonly #needsWindows: WatchOwner["needsWindows"]
  readonly #onOverdue: WatchOwner["overdue"]
  readonly #backends: WatchOwner["backends"]
  readonly #isPrepared: boolean
  #known: StampedState | undefined
  /** Counts the changes that were heard of: what a read brings that was asked for before one may not be current. */
  #changes = 0
  /** What was read last, be it current or not. */
  #last: MaintenanceStatus | undefined
  /** What was announced when it was read last, by a name for all of it. */
  #announced = ""
  /** The plan of which it was told last that it is overdue. */
  #overdue: string | undefined
  #news: News = "none"
  #retryMs = firstRetryMs
  #isStandby = false
  #isRunning = false
  #next: NodeJS.Timeout | undefined
  /** The id of this instance; undefined while its watch is not connected. */
  #instance: number | undefined
  /** The id before its connection was lost. */
  #formerInstance: number | undefined
  /** The calls that are entering a mode, or have announced one, and the tasks that are running. */
  readonly #entries = new Set<string>()
  /** The windows whose beginning a call here waits for. */
  readonly #awaited = new Set<string>()
  #hasLapsed = true
  /** Names this process in the windows that are tied to it. */
  readonly lease = randomUUID()
  #renewing: NodeJS.Timeout | undefined
  /** The least that such a window goes on without it. */
  #graceMs = Number.POSITIVE_INFINITY
  #refusals = 0
  /** The refusals for the journal. */
  readonly #counts: RefusalCounts
  readonly #pruning: Pruning
  /** Whether there is a pooler that gives every transaction another connection. */
  #isPooled = false
  /** What was told last. */
  #told = { epoch: 0, refusals: 0 }
  #telling: NodeJS.Timeout | undefined
  /** Whether it is to tell, be there something new or not: what the backends do may have changed. */
  #isAsked = false
  #looking: NodeJS.Timeout | undefined
  readonly #said = new Set<string>()
  /** Whether it was said that others have locked the state, and since then it could not be read. */
  #isLockSaid = false
  #stopping = new AbortController()

  constructor(
    createClient: ClientFactory,
    schema: string,
    { changed, read, needsWindows, overdue, backends, isPrepared, journalDays }: WatchOwner,
  ) {
    this.#control = new ControlConnection(createClient, {
      notification: (notification) => this.#notified(notification),
      lost: () => this.#lost(),
    })
    this.store = new StateStore(this.#control, schema)
    this.schema = schema
    this.#channel = channelOf(schema)
    this.#hearing = new Hearing(this.#control, this.#channel)
    this.#onChange = changed
    this.#onRead = read
    this.#needsWindows = needsWindows
    this.#onOverdue = overdue
    this.#backends = backends
    this.#isPrepared = isPrepared
    const { journal } = this.store
    this.#counts = new RefusalCounts((counts) => journal.count(this.lease, counts))
    this.#pruning = new Pruning(() => journal.prune(journalDays))
  }

  /** The state, if it is known to be current; or, where it is polled, to have been so a moment ago. */
  get known(): StampedState | undefined {
    return this.#news === "none" ? undefined : this.#known
  }

  /** As `known`; and what was read last, while it is read anew because something has changed. */
  get expected(): MaintenanceStatus | undefined {
    return this.known?.status ?? (this.#news === "none" ? undefined : this.#last)
  }

  /** What was read last, be it current or not; undefined while it is stopped. */
  get latest(): MaintenanceStatus | undefined {
    return this.#last
  }

  /** Begins to listen; resolves with the state known, or rejects if it cannot be read. */
  async start(): Promise<void> {
    this.#isRunning = true
    this.#stopping = new AbortController()
    shared.watches.add(this)
    await this.#listen()
  }

  /** Aborted when it is stopped, for who waits for news. */
  get stopped(): AbortSignal {
    return this.#stopping.signal
  }

  /** Ends the connection and forgets what was known. It can be started again. */
  async stop(): Promise<void> {
    this.#isRunning = false
    shared.watches.delete(this)
    this.#news = "none"
    clearTimeout(this.#next)
    clearTimeout(this.#telling)
    clearTimeout(this.#looking)
    clearTimeout(this.#renewing)
    this.#graceMs = Number.POSITIVE_INFINITY
    this.#hearing.stop()
    await this.#sayLast()
    const closed = this.#control.close()
    this.#stopping.abort()
    await closed
    this.#known = this.#instance = this.#last = undefined
  }

  /** Reads the state now, and tells the listener if it is new. */
  async refresh(): Promise<MaintenanceStatus> {
    return (await this.#readAnew()).status
  }

  async #readAnew(isWhole = false): Promise<StampedState> {
    // All reads go over one connection, one after the other: what was read last is the latest.
    const changes = this.#changes
    let state = await this.#readOnce(isWhole)
    if (state.stamp === undefined) {
      // As after a switch that was rolled back, and when a window has expired. If it cannot be mended, the fence reads the
      // state each time.
      await this.store.mend().catch(() => undefined)
      state = await this.#readOnce(isWhole)
    }
    // It is read again after a change that was heard of meanwhile.
    if (changes === this.#changes) this.#known = state
    this.#isLockSaid = false
    const { status } = state
    const last = this.#last
    this.#last = status
    const announced = nameOf(state.windows)
    const isChanged = last !== undefined && (isAnother(status, last) || announced !== this.#announced)
    this.#announced = announced
    if (isChanged) this.#onChange(status)
    this.#onRead(state)
    if (!this.#isStandby) this.#pruning.looked(isChanged)
    this.#tellOverdue(status)
    this.#tell()
    this.#lookAgain(state)
    // The watch is not to wait for who has locked the state: if it fails, it is done after the next look.
    this.store.switching.voidDoubtful().catch(() => undefined)
    return state
  }

  /** Reads the windows only where they are needed, for every instance reads each change. */
  async #readOnce(withWindows: boolean): Promise<StampedState> {
    const state = await this.store.read({ withWindows })
    return withWindows || !this.#needsWindows(state.status) ? state : this.store.read({ withWindows: true })
  }

  /** As `refresh`, with the windows and the instances, and whether the mode is being entered. */
  async report(): Promise<MaintenanceReport> {
    const { status, windows } = await this.#readAnew(true)
    // A standby has none of what is not logged.
    const instances = this.#isStandby ? [] : await this.store.fleet.instances()
    const inForce = windows.findLast(({ position }) => position !== "announced")
    const isEntering = inForce?.position === "entering" && !inForce.isInterrupted
    const state = isEntering ? "entering" : status.mode
    return { ...status, state, isInterrupted: inForce?.isInterrupted ?? false, windows, instances }
  }

  /** Takes back the windows whose beginning a call here waits for, for it does not any more, and tells what was refused. */
  async #sayLast(): Promise<void> {
    this.#hasLapsed = true
    const isSilent = this.#awaited.size === 0 && !this.#counts.hasUntold
    if (isSilent || this.#stopping.signal.aborted) return
    const givenUp = new AbortController()
    const said = Promise.allSettled([this.#lapse(), this.#tellRefusals()])
    await Promise.race([said, pause(sayWithinMs, undefined, { signal: givenUp.signal })])
    givenUp.abort()
  }

  async #lapse(): Promise<void> {
    if (this.#awaited.size === 0) return
    this.#hasLapsed = false
    await this.store.switching.lapseAll([...this.#awaited], sayWithinMs)
    this.#hasLapsed = true
  }

  /** Whether it runs, and on a server that is no read replica, on which nothing can be changed. */
  get canChange(): boolean {
    return this.#isRunning && !this.#isStandby
  }

  /** Whether what calls here were waiting for was taken back when it was stopped. */
  get hasLapsed(): boolean {
    return this.#hasLapsed
  }

  /** Says that a call waits for the beginning of a window that it has announced; returns what says that it does not any more. */
  awaiting(id: string): () => void {
    this.#awaited.add(id)
    return () => void this.#awaited.delete(id)
  }

  /** Says that a call is entering a mode, or announces one, or that a task is running; returns what says that it does not any more. */
  entering(entry: string): () => void {
    this.#entries.add(entry)
    return () => void this.#entries.delete(entry)
  }

  /** Puts off the end of the windows that are tied to this process, as long as there may be one. Keeps no process alive. */
  keepRenewing(graceMs: number): void {
    this.#graceMs = Math.min(this.#graceMs, graceMs)
    this.#renewLater()
  }

  #renewLater(): void {
    clearTimeout(this.#renewing)
    if (!this.#isRunning) return
    this.#renewing = setTimeout(() => this.#renew(), this.#graceMs / renewals).unref()
  }

  #renew(): void {
    clearTimeout(this.#renewing)
    // A renewal that fails is made up for by the next.
    const renewed = this.store.switching.renew(this.lease).catch(() => true)
    void renewed.then((isNeeded) => {
      if (isNeeded) this.#renewLater()
      else this.#graceMs = Number.POSITIVE_INFINITY
    })
  }

  /** The id of this instance, while its watch is connected. */
  get instance(): number | undefined {
    return this.#instance
  }

  /** Whether there is a pooler that gives every transaction another connection, so that no session can hold a lock. */
  get isPooled(): boolean {
    return this.#isPooled
  }

  /** Forgets what was known, because the server says that it is another state by now, and reads it anew. */
  doubt(): void {
    if (this.#known === undefined) return
    this.#known = undefined
    this.#read()
  }

  /** The state was changed: what was known is no longer true, and until the new state is read, the fence decides. */
  outdate(): void {
    this.#changes++
    this.#known = undefined
    if (this.#news !== "none") this.#read()
  }

  /** Tells the other watches of the process, so that nothing is refused by what they knew before. */
  outdateOthers(): void {
    for (const watch of shared.watches) if (watch !== this && watch.schema === this.schema) watch.outdate()
  }

  /** Counts what this instance has refused. */
  countRefusal(error: WriteVetoedError | AccessRefusedError): void {
    this.#refusals++
    // A replica cannot record it, and only refuses what its primary would.
    if (error.windowId !== undefined && !this.#isStandby) this.#counts.count(error.windowId, error)
    this.#tellLater()
  }

  #tellLater(): void {
    if (this.#isRunning) this.#telling ??= setTimeout(() => this.#tell(), tellWithinMs).unref()
  }

  /** Records in the journal what this instance has refused; later, if it fails now. */
  async #tellRefusals(): Promise<void> {
    await this.#counts.tell().catch(() => this.#tellLater())
  }

  /** The windows that are over, with all that this instance has refused. */
  async journal(range: JournalRange): Promise<PastWindow[]> {
    await this.#tellRefusals()
    return this.store.journal.read(range)
  }

  async #listen(): Promise<void> {
    this.#news = (await this.#isNotified()) ? "notified" : "polled"
    await this.refresh()
    this.#retryMs = firstRetryMs
    // Some of the time that it goes on without this process is over.
    if (this.#graceMs !== Number.POSITIVE_INFINITY) this.#renew()
    if (this.#news === "polled") return this.#pollLater()
    const { epoch } = this.#last as MaintenanceStatus
    this.#instance = await this.store.fleet.register(epoch, [...this.#entries], this.#formerInstance)
    this.#formerInstance = this.#instance
    this.#told = { epoch: 0, refusals: 0 }
    this.#tell()
  }

  /** Reads the state; if that fails, the connection is given up, unless somebody has just locked the state. */
  #read(): void {
    this.refresh().catch((error: unknown) => {
      if (!isLocked(error)) return this.#control.drop()
      if (!this.#isLockSaid) void this.#sayLocked(error)
      clearTimeout(this.#looking)
      this.#looking = setTimeout(() => this.#read(), mendAgainMs).unref()
    })
  }

  /** Reads the state when the window has expired, which ends it for everybody; of many, some later than others. */
  #lookAgain({ status, stamp, overdueAt, endsAt }: StampedState): void {
    clearTimeout(this.#looking)
    if (!this.#isRunning) return
    const spreadMs = Math.random() * expirySpreadMs
    const waits = [
      // Not all instances at once, for they have all read it when it began.
      (status.mode === "normal" ? lookAgainIdleMs : lookAgainMs) * (0.5 + Math.random() / 2),
      stamp === undefined && !this.#isStandby ? mendAgainMs : undefined,
      endsAt && Math.max(0, endsAt - performance.now()) + spreadMs,
      overdueAt && Math.max(0, overdueAt - performance.now()) + spreadMs,
    ].filter((ms) => ms !== undefined)
    this.#looking = setTimeout(() => this.#read(), Math.min(...waits)).unref()
  }

  #tellOverdue(status: MaintenanceStatus): void {
    const plan = `${status.since?.getTime()} ${status.plannedUntil?.getTime()}`
    if (!status.isOverdue || plan === this.#overdue) return
    this.#overdue = plan
    this.#onOverdue(status)
  }

  /** Tells the others what this instance knows, and has refused, if that is new. */
  #tell(): void {
    clearTimeout(this.#telling)
    this.#telling = undefined
    void this.#tellRefusals()
    const [id, status, refusals] = [this.#instance, this.#known?.status, this.#refusals]
    if (id === undefined || status === undefined) return
    const { epoch } = status
    if (!this.#isAsked && epoch === this.#told.epoch && refusals === this.#told.refusals) return
    this.#isAsked = false
    this.#told = { epoch, refusals }
    this.store.fleet.acknowledge(id, { epoch, refusals, backends: this.#backends(status) }).then(
      // Its row is gone: in a new session it registers anew.
      (isRegistered) => isRegistered || this.#control.drop(),
      // The connection is lost, and it registers anew; or the schema is, and nothing commits.
      () => (this.#told = { epoch: 0, refusals: 0 }),
    )
  }

  async #isNotified(): Promise<boolean> {
    const heard = await this.#hearing.listen()
    this.#isStandby = heard === "standby"
    this.#isPooled = heard === "nothing" && !this.#control.isDirect
    if (heard === "all") return true
    if (this.#isStandby) {
      this.#say("This server is a read replica, on which nobody can listen.")
      return false
    }
    if (this.#isPooled && this.#isPrepared) throw mixedUp()
    this.#say(
      "LISTEN does not deliver, as behind a pooler that gives every transaction another connection (pgbouncer in " +
        "transaction mode).",
    )
    return false
  }

  #notified({ channel, payload }: Notification): void {
    if (channel !== this.#channel || !this.#isRunning || this.#hearing.takes(payload)) return
    if (payload === "tell") {
      this.#isAsked = true
      this.#tell()
    } else if (payload === "windows") {
      this.#read()
    } else {
      this.outdate()
    }
  }

  #pollLater(): void {
    if (!this.#isRunning) return
    clearTimeout(this.#next)
    this.#next = setTimeout(() => {
      // A standby may have been promoted meanwhile.
      const poll = this.#isStandby ? this.#listen() : this.refresh().then(() => this.#pollLater())
      poll.catch(() => this.#control.drop())
    }, pollMs).unref()
  }

  #lost(): void {
    this.#news = "none"
    this.#known = this.#instance = undefined
    if (!this.#isRunning) return
    clearTimeout(this.#next)
    // A window that is tied to this process does not go on without it for long.
    const longestMs = Math.min(lastRetryMs, this.#graceMs / triesInGrace)
    const waitMs = Math.min(this.#retryMs, longestMs) * (0.5 + Math.random())
    this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs)
    this.#next = setTimeout(() => void this.#listen().catch(() => this.#control.drop()), waitMs).unref()
  }

  /** Warns of who has locked the state, so that it cannot even be read. */
  async #sayLocked(error: unknown): Promise<void> {
    this.#isLockSaid = true
    process.emitWarning((await this.store.unreadable(error)).message, "MaintenanceWarning")
  }

  /** Warns, once, of why the state is polled. */
  #say(why: string): void {
    if (this.#said.has(why)) return
    this.#said.add(why)
    process.emitWarning(
      `${why} So the maintenance mode is read every ${pollMs} ms instead, and refusals may be that late; ` +
        "what commits is decided by the database as ever.",
      "MaintenanceWarning",
    )
  }
}

function mixedUp(): MaintenanceSetupError {
  return new MaintenanceSetupError(
    "Between this application and PostgreSQL is a pooler that gives every transaction another connection (as pgbouncer in " +
      "transaction mode), and mixes up what sessions keep prepared: set preparedStatements: false in installMaintenance(), " +
      "or have the DataSource connect past the pooler.",
  )
}

/** Whether there is something to tell, be it that a window has expired that nobody can put into the row, as on a standby. */
function isAnother(status: MaintenanceStatus, last: MaintenanceStatus): boolean {
  // When a window has expired, this may be told before it is put into the row.
  const isNormal = status.mode === "normal" && last.mode === "normal"
  return (
    (status.epoch !== last.epoch && !isNormal) ||
    status.mode !== last.mode ||
    // As after a restore, which may bring the same epoch again.
    status.since?.getTime() !== last.since?.getTime() ||
    status.expiresAt?.getTime() !== last.expiresAt?.getTime() ||
    status.graceMs !== last.graceMs
  )
}

/** A name for all that is announced, however long it is until then. */
function nameOf(windows: readonly MaintenanceWindow[]): string {
  return windows
    .map((window) =>
      window.position === "announced"
        ? `${window.id} ${window.startsAt.getTime()} ${window.isInterrupted};`
        : "",
    )
    .join("")
}
