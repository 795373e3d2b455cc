import { AsyncResource } from "node:async_hooks"
import type { DataSource } from "typeorm"
import {
  AccessRefusedError,
  MaintenanceSetupError,
  type RefusedChange,
  StateUnavailableError,
  WriteVetoedError,
} from "../errors"
import { currentActor, currentPolicy } from "../identity"
import type { PastWindow } from "../mode/journal"
import {
  type Actor,
  isAdmitted,
  type MaintenanceReport,
  type MaintenanceStatus,
  type StampedState,
} from "../mode/mode"
import type { ResolvedOptions } from "../options"
import { mayInstallSchema } from "../state/migration"
import { destroyed } from "../state/destroyed"
import { notWritable } from "../state/refusal"
import { briefMs, isPassing, persistently } from "../state/persistence"
import type { Backend } from "../state/fleet"
import type { JournalRange } from "../state/journal"
import { shared } from "../shared"
import { isLocked } from "../state/sqlstate"
import { SharedQuestion } from "../state/shared-question"
import type { StateStore } from "../state/state-store"
import { Watch } from "../state/watch"
import { pipelinedQueryClass } from "../wire/pipelined-query"
import type { WireClient } from "../wire/protocol"
import { EarlyRefusals } from "./early-refusal"
import { Fence } from "./fence"
import { FencedConnection, type Enforcement } from "./fenced-connection"
import { clientFactory, clientsOf, hostDriver, type HostDriver, type Obtained } from "./host"
import { Places } from "./places"
import { callBackAsCaller, openIn } from "./pool-callbacks"
import { watchPoolListeners } from "./pool-listeners"
import { fencedQueryRunnerClass, type RunnerContext } from "./query-runner"
import type { RecordingBroadcaster } from "./recorded-changes"
import { replaceMethod, type Undo } from "./replace-method"
import { keepReadsFromWriting } from "./result-cache"
import { WaitingRoom } from "./waiting-room"

/** Marks a driver in which the plugin is installed, for every copy of this package. */
const installedKey = Symbol.for("typeorm-maintenance-mode.installed")

/** How long it is tried again to read the state for who asks, in milliseconds: so that a lost connection is not told at once. */
const readAgainMs = 1000

/** What an installation tells its owner. */
export interface InstallationEvents {
  changed(status: MaintenanceStatus): void
  /** Told of every state that is read, be it new or not. */
  read(state: StampedState): void
  /** Whether all windows of a state are to be read, for what `read` is to find out. */
  needsWindows(status: MaintenanceStatus): boolean
  overdue(status: MaintenanceStatus): void
  refused(error: WriteVetoedError | AccessRefusedError): void
  /** The DataSource is being destroyed, or the plugin uninstalled. */
  stopped(): void
}

/** The plugin in one DataSource: all that is changed of the host, and the undo of it. */
export class Installation {
  readonly dataSource: DataSource
  readonly options: ResolvedOptions
  readonly #driver: HostDriver
  /** That of the code which has installed the plugin: in it connections are opened. */
  readonly #context = shared.context.exit(() => new AsyncResource("MaintenanceConnections"))
  readonly #watch: Watch
  readonly #fence: Fence
  readonly #enforcement: Enforcement
  readonly #waitingRoom: WaitingRoom
  readonly #places: Places
  readonly #earlyRefusals = new EarlyRefusals()
  readonly #events: InstallationEvents
  readonly #connections = new Map<WireClient, FencedConnection>()
  /** The connections to replicas: there somebody else's backend may have the same process id here. */
  readonly #elsewhere = new WeakSet<WireClient>()
  readonly #current = new SharedQuestion(async () => {
    const status = await (await this.store()).readLast()
    return { status, refusal: status.mode === "normal" ? undefined : notWritable(status) }
  })
  readonly #reported = new SharedQuestion(async () => {
    const store = await this.store()
    return persistently(() => this.#watch.report(), { withinMs: readAgainMs }).catch(unlocked(store))
  })
  readonly #undos: Undo[] = []
  readonly #poolUndos: Undo[] = []
  #ready: Promise<void> | undefined
  #isReady = false
  #isStarting = false
  /** What initialize() waits for: if it fails, that fails. */
  #starting: Promise<void> | undefined
  /** While the DataSource is being destroyed, nothing is made ready. */
  #isClosing = false
  #isUninstalled = false

  /** Throws MaintenanceSetupError if the DataSource cannot have the plugin, or has it already. */
  constructor(dataSource: DataSource, options: ResolvedOptions, events: InstallationEvents) {
    this.#driver = hostDriver(dataSource)
    if (installedKey in this.#driver) {
      throw new MaintenanceSetupError(
        "Maintenance mode is installed in this DataSource already: install it once.",
      )
    }
    this.dataSource = dataSource
    this.options = options
    this.#events = events
    this.#watch = new Watch(clientFactory(this.#driver), options.schema, {
      isPrepared: options.preparedStatements,
      journalDays: options.journalDays,
      changed: (status) => {
        this.#waitingRoom.changed()
        this.#places.letIn()
        events.changed(status)
      },
      read: (state) => events.read(state),
      needsWindows: (status) => events.needsWindows(status),
      overdue: (status) => events.overdue(status),
      backends: (status) => this.#backends(status),
    })
    this.#waitingRoom = new WaitingRoom(options, () => this.#watch.expected, {
      refused: (error) => this.refused(error),
      refuse: (error) => this.#refuse(error),
    })
    this.#places = new Places({
      // Not only what is known to be current: where that is in doubt for a moment, not all are to come in at once.
      latest: () => this.#watch.latest,
      lent: () => this.#lentTo(),
      timeoutMs: () => this.#driver.master?.options.connectionTimeoutMillis ?? 0,
    })
    this.#fence = new Fence(options, {
      known: () => this.#watch.known,
      doubt: () => this.#watch.doubt(),
    })
    this.#enforcement = {
      fence: this.#fence,
      PipelinedQuery: pipelinedQueryClass(this.#driver.postgres.Query),
      actor: () => currentActor(options),
      refused: (error) => this.refused(error),
      refuse: (error) => this.#refuse(error),
      isPooled: () => this.#watch.isPooled,
      changesOn: (client) => this.#changesOn(client),
    }
    this.#touchHost()
    if (!dataSource.isInitialized) return
    this.#guardPools()
    this.ready().catch(() => undefined)
  }

  /** The state in the database; rejects with MaintenanceSetupError or StateUnavailableError if it is not ready. */
  async store(): Promise<StateStore> {
    if (this.#isUninstalled)
      throw new MaintenanceSetupError("Maintenance mode was uninstalled from this DataSource.")
    await this.ready()
    if (this.#fence.isAwaitingSchema) throw this.#watch.store.missingSchema()
    return this.#watch.store
  }

  /** Reads the state anew after a change, so that this process knows it at once, also in its other DataSources. */
  async refresh(): Promise<MaintenanceStatus> {
    const store = await this.store()
    this.#watch.outdateOthers()
    return persistently(() => this.#watch.refresh(), { withinMs: briefMs }).catch(unlocked(store))
  }

  /** As `refresh`, with the instances; read once for all who ask meanwhile. */
  async report(): Promise<MaintenanceReport> {
    const report = await this.#reported.answer()
    return { ...report }
  }

  /** The windows that are over; rejects with MaintenanceSetupError. */
  async journal(range: JournalRange): Promise<PastWindow[]> {
    const store = await this.store()
    return this.#watch.journal(range).catch(unlocked(store))
  }

  /** Throws the refusal, and tells of it, if the actor may not write; rejects with MaintenanceSetupError. */
  async assertWritable(actor: Actor): Promise<void> {
    const store = await this.store()
    const ask = () => this.refusalOf(actor)
    const refusal = await persistently(ask, { withinMs: readAgainMs }).catch(unlocked(store))
    if (refusal) throw this.refused(notWritable(refusal))
  }

  /**
   * The refusal of an actor who may not write; undefined for who may. The state is read once for all who ask meanwhile. Rejects with
   * MaintenanceSetupError.
   */
  async refusalOf(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined> {
    const { status, refusal } = await this.#current.answer()
    return isAdmitted(status, actor) ? undefined : refusal
  }

  /** Tells of an error, if it is a refusal; returns it. */
  refused(error: unknown): unknown {
    if (isRefusal(error)) {
      this.#watch.countRefusal(error)
      this.#events.refused(error)
    }
    return error
  }

  /** The watch, for who enters a mode. */
  get watch(): Watch {
    return this.#watch
  }

  /** The backends of the pools that acted last for somebody whom this window does not restrict. */
  unrestrictedBackends(window: Pick<MaintenanceStatus, "mode" | "maintainer">): readonly Backend[] {
    // Behind a pooler their process ids are not those of the backends.
    return this.#watch.isPooled ? [] : this.#backends(window).filter(({ isUnrestricted }) => isUnrestricted)
  }

  /** Resolves when the schema is there and the watch listens; rejects with MaintenanceSetupError, or StateUnavailableError. */
  ready(): Promise<void> {
    if (this.#isClosing) {
      return Promise.reject(destroyed(", so its maintenance is not at hand"))
    }
    if (!this.#ready || this.#fence.isAwaitingSchema) {
      const ready = this.#prepare()
      this.#ready = ready
      ready.catch(() => {
        if (this.#ready === ready) this.#ready = undefined
      })
    }
    return this.#ready
  }

  /** Gives the DataSource back as it was. */
  async uninstall(): Promise<void> {
    this.#isUninstalled = true
    this.#events.stopped()
    for (const undo of [...this.#undos.splice(0), ...this.#poolUndos.splice(0)].toReversed()) undo()
    for (const connection of this.#connections.values()) connection.retire()
    this.#connections.clear()
    this.#waitingRoom.close()
    this.#places.close()
    await this.#watch.stop()
  }

  async #prepare(): Promise<void> {
    const { migrate } = this.options
    const isInstalled = await this.#watch.store.prepare(migrate)
    if (!isInstalled && !mayInstallSchema(this.dataSource.options.migrations))
      throw this.#watch.store.missingSchema()
    this.#fence.isAwaitingSchema = !isInstalled
    if (isInstalled) await this.#watch.start()
    this.#isReady = isInstalled
  }

  #touchHost(): void {
    const driver = this.#driver
    const Runner = fencedQueryRunnerClass(driver.createQueryRunner("master"), this.#runnerContext())
    Object.defineProperty(driver, installedKey, { value: true, configurable: true })
    this.#undos.push(
      () => delete (driver as { [installedKey]?: true })[installedKey],
      replaceMethod(driver, "createQueryRunner", () => (mode) => {
        if (this.#isStarting) this.#makeReady()
        return new Runner(driver as never, mode)
      }),
      replaceMethod(
        driver,
        "obtainMasterConnection",
        (obtain) => () => this.#obtain(() => obtain.call(driver), false),
      ),
      replaceMethod(
        driver,
        "obtainSlaveConnection",
        (obtain) => () => this.#obtain(() => obtain.call(driver), driver.slaves.length > 0),
      ),
      replaceMethod(driver, "connect", (connect) => () => this.#connect(() => connect.call(driver))),
      replaceMethod(driver, "afterConnect", (look) => () => this.#afterConnect(() => look.call(driver))),
      replaceMethod(
        driver,
        "disconnect",
        (disconnect) => () => this.#disconnect(() => disconnect.call(driver)),
      ),
      keepReadsFromWriting(this.dataSource, () => this.#mayWrite()),
    )
  }

  #runnerContext(): RunnerContext {
    const { migrationsTableName = "migrations" } = this.dataSource.options
    const tables = new Set([migrationsTableName, this.dataSource.metadataTableName])
    return {
      ...this.#enforcement,
      connectionOf: (client) => this.#connections.get(client as WireClient),
      isWaiting: () => currentPolicy(this.options) === "wait",
      isNeededToMigrate: (table) =>
        this.#fence.isAwaitingSchema && tables.has(table.split(".").at(-1) as string),
      committed: () => (this.#fence.isAwaitingSchema ? this.ready() : undefined),
    }
  }

  /** As the driver's connect(); the plugin becomes ready while TypeORM goes on. */
  async #connect(connect: () => Promise<void>): Promise<void> {
    try {
      await this.#startUp(connect)
    } catch (error) {
      // TypeORM does not: a query runner of its own would keep a connection, and that the process.
      if (this.#driver.master) await this.#driver.disconnect().catch(() => undefined)
      throw error
    }
    this.#guardPools()
    this.#makeReady()
  }

  /** Begins to make it ready as soon as it can, while TypeORM looks at the server and at the entities: whoever needs it waits. */
  #makeReady(): void {
    if (!this.#driver.master || this.#starting) return
    this.#starting = this.ready()
    this.#starting.catch(() => undefined)
  }

  /** As the driver's afterConnect(), and the plugin is ready after it; if it rejects, TypeORM destroys the DataSource. */
  async #afterConnect(look: () => Promise<void>): Promise<void> {
    await this.#startUp(look)
    await (this.#starting ?? this.ready())
  }

  async #startUp(work: () => Promise<void>): Promise<void> {
    this.#isStarting = true
    try {
      await work()
    } finally {
      this.#isStarting = false
    }
  }

  async #disconnect(disconnect: () => Promise<void>): Promise<void> {
    this.#ready = this.#starting = undefined
    this.#isReady = false
    this.#isClosing = true
    this.#events.stopped()
    this.#waitingRoom.close()
    this.#places.close()
    const stopped = this.#watch.stop()
    try {
      await disconnect()
    } finally {
      await stopped
      this.#isClosing = false
      for (const undo of this.#poolUndos.splice(0)) undo()
    }
  }

  /** Has every connection of the pools fenced, also one that is taken from a pool past the driver. */
  #guardPools(): void {
    const { master, slaves } = this.#driver
    for (const pool of [master, ...slaves]) {
      if (!pool) continue
      this.#poolUndos.push(callBackAsCaller(pool), openIn(this.#context, pool))
      const fenceOff = (client: WireClient, isNew: boolean) => {
        if (pool !== master) this.#elsewhere.add(client)
        this.#fenceOff(client, isNew)
      }
      for (const event of ["connect", "acquire"] as const) {
        const listener = (client: unknown) => fenceOff(client as WireClient, event === "connect")
        // Before anybody who listens, too, and gets a new connection to prepare it.
        pool.prependListener(event, listener)
        this.#poolUndos.push(() => pool.removeListener(event, listener))
      }
      this.#poolUndos.push(
        watchPoolListeners(pool, (client, isNew) => {
          fenceOff(client as WireClient, isNew)
          this.#fenceOff(client as WireClient).hasListeners = true
        }),
      )
      for (const client of clientsOf(pool)) fenceOff(client, false)
    }
  }

  /** A connection of the pool, fenced, and clean. */
  #obtain(obtain: () => Promise<Obtained>, isReplica: boolean): Promise<Obtained> {
    const isStartingUp = this.#isStarting
    const ready =
      isStartingUp || this.#isReady
        ? this.#admission(isStartingUp)
        : this.ready().then(() => this.#admission(false))
    const take = () => this.#inPlace(obtain, isStartingUp)
    return (ready ? ready.then(take) : take()).then(([client, release]) => {
      const connection = this.#fenceOff(client)
      connection.isStartingUp = isStartingUp
      connection.isReplica = isReplica
      connection.isLent = true
      const given = [client, (error) => this.#release(connection, release, error)] satisfies Obtained
      // Whoever had it from the pool itself may have left something open.
      const cleaned = connection.clean()?.catch((error: Error) => {
        this.#release(connection, release, error)
        throw error
      })
      return cleaned?.then(() => given) ?? given
    })
  }

  /** Takes a connection, within what a window leaves to others. */
  #inPlace(obtain: () => Promise<Obtained>, isStartingUp: boolean): Promise<Obtained> {
    return isStartingUp || !this.#places.isBounded ? obtain() : this.#inBoundedPlace(obtain)
  }

  async #inBoundedPlace(obtain: () => Promise<Obtained>): Promise<Obtained> {
    let actor: Actor
    try {
      actor = this.#enforcement.actor()
    } catch (error) {
      return this.#refuse(error)
    }
    const taken = await this.#places.place(actor).catch((error: unknown) => {
      throw this.refused(error)
    })
    try {
      const obtained = await obtain()
      const connection = this.#fenceOff(obtained[0])
      connection.lastActor = actor
      connection.isLent = true
      return obtained
    } finally {
      taken()
      this.#places.letIn()
    }
  }

  /** Rejects with an error of who has no connection, and tells of it, if it is a refusal. */
  #refuse(error: unknown): Promise<never> {
    return this.#earlyRefusals.reject(this.refused(error))
  }

  /** What is to be waited for before a connection is taken. */
  #admission(isStartingUp: boolean): Promise<void> | undefined {
    if (isStartingUp || currentPolicy(this.options) !== "wait") return undefined
    try {
      return this.#waitingRoom.admission(this.#enforcement.actor())
    } catch (error) {
      return this.#refuse(error)
    }
  }

  /** Gives a connection back to the pool, at once if nothing is left to clean up on it. */
  #release(connection: FencedConnection, release: (error?: Error) => void, error?: Error): void {
    const { session } = connection
    connection.isStartingUp = false
    if (session.isGivenUp) session.destroy()
    const giveBack = (fault?: Error) => {
      connection.givenBack()
      release(fault)
      this.#places.letIn()
    }
    if (error || session.isEnded) return giveBack(error ?? new Error("The connection was given up."))
    const cleaning = connection.clean()
    if (cleaning) cleaning.then(() => giveBack(), giveBack)
    else giveBack()
  }

  /** Whom the connections that are in use act for, as often as they have one. */
  #lentTo(): (Actor | undefined)[] {
    return [...this.#connections.values()].filter(({ isLent }) => isLent).map(({ lastActor }) => lastActor)
  }

  /** A physical connection gets its fence once. */
  #fenceOff(client: WireClient, isNew = false): FencedConnection {
    const known = this.#connections.get(client)
    if (known) return known
    const connection = new FencedConnection(client, this.#enforcement, isNew)
    this.#connections.set(client, connection)
    client.once("end", () => this.#connections.delete(client))
    return connection
  }

  /** What the ORM has changed by the query runner that uses a connection. */
  #changesOn(client: WireClient): RefusedChange[] {
    const runner = this.#driver.connectedQueryRunners.find(
      (one) => (one as unknown as { databaseConnection: unknown }).databaseConnection === client,
    )
    return [...((runner?.broadcaster as Partial<RecordingBroadcaster> | undefined)?.changes?.values() ?? [])]
  }

  #backends(status: Pick<MaintenanceStatus, "mode" | "maintainer">): Backend[] {
    return [...this.#connections].flatMap(([client, { backendPid, connectedMs, lastActor }]) => {
      const pid = this.#elsewhere.has(client) ? undefined : backendPid
      const isUnrestricted = lastActor !== undefined && isAdmitted(status, lastActor)
      return pid === undefined ? [] : [{ pid, connectedMs, isUnrestricted }]
    })
  }

  #mayWrite(): boolean {
    const status = this.#watch.known?.status
    return status === undefined || isAdmitted(status, this.#enforcement.actor())
  }
}

/** Throws an error, or if that is of a lock, one that names who has it. */
function unlocked(store: StateStore): (error: unknown) => Promise<never> {
  return async (error) => {
    if (isLocked(error)) throw await store.unreadable(error)
    throw isPassing(error) ? notRead(error) : error
  }
}

function notRead(cause: unknown): StateUnavailableError {
  return new StateUnavailableError(
    `The maintenance state could not be read: the database could not be reached (${String(cause)}). Try again.`,
    { cause },
  )
}

function isRefusal(error: unknown): error is WriteVetoedError | AccessRefusedError {
  return error instanceof WriteVetoedError || error instanceof AccessRefusedError
}
