import { AsyncResource } from "node:async_hooks"
import type { DataSource } from "typeorm"
import { changeDriver, hasPlugin } from "./enforcement/changed-driver"
import { Connections } from "./enforcement/connections"
import { EarlyRefusals } from "./enforcement/early-refusal"
import { Fence } from "./enforcement/fence"
import type { Enforcement } from "./enforcement/enforcement"
import type { FencedConnection } from "./enforcement/fenced-connection"
import { guardPool } from "./enforcement/guarded-pools"
import { clientFactory, hostDriver, type HostDriver, ownTables } from "./enforcement/host"
import { Lending } from "./enforcement/lending"
import type { RunnerContext } from "./enforcement/query-runner"
import type { Undo } from "./enforcement/replace-method"
import { keepReadsFromWriting } from "./enforcement/result-cache"
import { StartUp } from "./enforcement/start-up"
import { Subscribers } from "./enforcement/subscribers"
import { AccessRefusedError, MaintenanceSetupError, WriteVetoedError } from "./errors"
import { currentActor, currentPolicy, currentVetoAt } from "./identity/current-actor"
import type { Actor } from "./mode/actor"
import type { MaintenanceStatus } from "./mode/status"
import { logWarnings } from "./notices"
import type { ResolvedOptions } from "./options"
import { shared } from "./shared"
import type { Backend } from "./state/fleet"
import type { StateStore } from "./state/state-store"
import { ReaderSlots } from "./waiting/reader-slots"
import { WaitingRoom } from "./waiting/waiting-room"
import { StateAccess } from "./watch/state-access"
import { Watch } from "./watch/watch"
import type { HostEvents, WindowHost } from "./window/host"
import { pipelinedQueryClass } from "./wire/pipelined-query"
import type { WireClient } from "./wire/protocol"

/** The plugin in one DataSource: wires its parts, changes the host, and undoes that. */
export class Installation implements WindowHost {
  readonly dataSource: DataSource
  readonly options: ResolvedOptions
  readonly watch: Watch
  readonly #driver: HostDriver
  readonly #events: HostEvents
  /** The context of the code that has installed the plugin: connections are opened in it. */
  readonly #context = shared.context.exit(() => new AsyncResource("MaintenanceConnections"))
  readonly #connections: Connections
  readonly #earlyRefusals = new EarlyRefusals()
  readonly #fence: Fence
  readonly #subscribers: Subscribers
  readonly #enforcement: Enforcement
  readonly #waitingRoom: WaitingRoom
  readonly #slots: ReaderSlots
  readonly #startUp: StartUp
  readonly #lending: Lending
  readonly access: StateAccess
  readonly #undos: Undo[] = []
  readonly #poolUndos: Undo[] = []
  #isUninstalled = false

  /** Throws MaintenanceSetupError if the DataSource cannot have the plugin, or has it already. */
  constructor(dataSource: DataSource, options: ResolvedOptions, events: HostEvents) {
    this.#driver = hostDriver(dataSource)
    if (hasPlugin(this.#driver)) {
      throw new MaintenanceSetupError(
        "Maintenance mode is already installed in this DataSource. Install it once.",
      )
    }
    this.dataSource = dataSource
    this.options = options
    this.#events = events
    this.#connections = new Connections(this.#driver)
    this.watch = this.#makeWatch()
    // The watch reports a change in this order: to the waiting room, the slots, the subscribers, and `events`.
    this.#waitingRoom = new WaitingRoom(options, this.watch, {
      refused: (error) => this.refused(error),
      refuse: (error) => this.#refuse(error),
    })
    this.#slots = new ReaderSlots(this.watch, {
      lent: () => this.#connections.lentTo(),
      timeoutMs: () => this.#driver.master?.options.connectionTimeoutMillis ?? 0,
    })
    this.#startUp = this.#makeStartUp()
    this.#fence = new Fence(options, this.watch, this.#startUp)
    this.#subscribers = new Subscribers(dataSource, this.watch, () => currentActor(options))
    this.#enforcement = this.#makeEnforcement()
    this.#lending = this.#makeLending()
    this.access = new StateAccess(this.watch, () => this.#store())
    this.#changeHost()
    if (!dataSource.isInitialized) return
    this.#guardPools()
    this.#built()
    this.ready().catch(() => undefined)
  }

  /** Resolves when the schema is there and the watch listens; rejects with MaintenanceSetupError, or StateUnavailableError. */
  ready(): Promise<void> {
    return this.#startUp.ready()
  }

  /** Throws and reports the refusal if the actor may not write. Rejects with MaintenanceSetupError. */
  async assertWritable(actor: Actor): Promise<void> {
    const refusal = await this.access.refusalWithRetry(actor)
    if (refusal) throw this.refused(refusal)
  }

  /** Whether the actor may write; rejects with MaintenanceSetupError. */
  async isWritable(actor: Actor): Promise<boolean> {
    return (await this.access.refusalWithRetry(actor)) === undefined
  }

  /** Returns the refusal of an actor who may not write. Rejects with MaintenanceSetupError. */
  refusalOf(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined> {
    return this.access.refusalOf(actor)
  }

  /** Reports an error, if it is a refusal; returns it. */
  refused(error: unknown): unknown {
    if (error instanceof WriteVetoedError || error instanceof AccessRefusedError) {
      this.watch.countRefusal(error)
      this.#events.refused(error)
    }
    return error
  }

  unrestrictedBackends(window: Pick<MaintenanceStatus, "mode" | "maintainer">): readonly Backend[] {
    // Behind a pooler their process ids are not those of the backends.
    if (this.watch.isPooled) return []
    return this.#connections.backends(window).filter(({ isUnrestricted }) => isUnrestricted)
  }

  /** Restores the DataSource as it was. */
  async uninstall(): Promise<void> {
    this.#isUninstalled = true
    this.#events.stopped(true)
    for (const undo of [...this.#undos.splice(0), ...this.#poolUndos.splice(0)].toReversed()) undo()
    this.#connections.retire()
    this.#closeWaiting()
    await this.watch.stop()
  }

  async #store(): Promise<StateStore> {
    if (this.#isUninstalled)
      throw new MaintenanceSetupError("Maintenance mode was uninstalled from this DataSource.")
    await this.ready()
    if (this.#startUp.isAwaitingSchema) throw this.watch.store.missingSchema()
    return this.watch.store
  }

  #makeWatch(): Watch {
    const { schema, preparedStatements, journalDays } = this.options
    const events = this.#events
    return new Watch(clientFactory(this.#driver), schema, {
      isPrepared: preparedStatements,
      journalDays,
      changed: (status) => events.changed(status),
      read: (state) => events.read(state),
      needsWindows: (status) => events.needsWindows(status),
      overdue: (status) => events.overdue(status),
      backends: (status) => this.#connections.backends(status),
    })
  }

  #makeEnforcement(): Enforcement {
    return {
      fence: this.#fence,
      PipelinedQuery: pipelinedQueryClass(this.#driver.postgres.Query),
      actor: () => currentActor(this.options),
      refused: (error) => this.refused(error),
      refuse: (error) => this.#refuse(error),
      isPooled: () => this.watch.isPooled,
      changesOn: (client) => this.#connections.changesOn(client),
    }
  }

  #makeStartUp(): StartUp {
    return new StartUp({
      dataSource: this.dataSource,
      driver: this.#driver,
      migrate: this.options.migrate,
      watch: this.watch,
      connected: () => this.#guardPools(),
      built: () => this.#built(),
      closing: () => {
        this.#events.stopped(false)
        this.#closeWaiting()
      },
      closed: () => {
        for (const undo of this.#poolUndos.splice(0)) undo()
      },
    })
  }

  #makeLending(): Lending {
    return new Lending({
      fence: this.#fence,
      startUp: this.#startUp,
      waitingRoom: this.#waitingRoom,
      slots: this.#slots,
      actor: this.#enforcement.actor,
      policy: () => currentPolicy(this.options),
      fenceOff: (client) => this.#fenceOff(client),
      refused: (error) => this.refused(error),
      refuse: (error) => this.#refuse(error),
    })
  }

  #changeHost(): void {
    const undos = changeDriver(this.#driver, {
      runnerContext: this.#runnerContext(),
      startUp: this.#startUp,
      lending: this.#lending,
    })
    this.#undos.push(...undos, keepReadsFromWriting(this.dataSource, this.watch, this.#enforcement.actor))
  }

  /** Installs the parts that last until `destroy()`, when TypeORM has built the subscribers. */
  #built(): void {
    this.#subscribers.subscribe()
    this.#poolUndos.push(
      () => this.#subscribers.unsubscribe(),
      logWarnings((message) => this.dataSource.logger.log("warn", message)),
    )
  }

  #runnerContext(): RunnerContext {
    const isOfTypeorm = ownTables(this.dataSource)
    return {
      ...this.#enforcement,
      connectionOf: (client) => this.#connections.get(client as WireClient),
      isWaiting: () => currentPolicy(this.options) === "wait",
      isNeededToMigrate: (table) => this.#startUp.isAwaitingSchema && isOfTypeorm(table),
      committed: () => (this.#startUp.isAwaitingSchema ? this.ready() : undefined),
      isVetoedAtWrite: () => currentVetoAt(this.options) === "write",
      writeRefusal: (actor, changes) => this.access.refusalOfWrite(actor, changes),
    }
  }

  /** Fences every connection of the pools, including those taken from a pool directly. */
  #guardPools(): void {
    const { master, slaves } = this.#driver
    for (const pool of [master, ...slaves]) {
      if (!pool) continue
      const undos = guardPool(pool, {
        context: this.#context,
        fenceOff: (client, isNew) => {
          if (pool !== master) this.#connections.markReplica(client)
          this.#fenceOff(client, isNew)
        },
        markListened: (client) => void (this.#fenceOff(client).hasListeners = true),
      })
      this.#poolUndos.push(...undos)
    }
  }

  #fenceOff(client: WireClient, isNew = false): FencedConnection {
    return this.#connections.fence(client, this.#enforcement, isNew)
  }

  /** Rejects with the error of a caller that gets no connection, and reports it, if it is a refusal. */
  #refuse(error: unknown): Promise<never> {
    return this.#earlyRefusals.reject(this.refused(error))
  }

  #closeWaiting(): void {
    this.#waitingRoom.close()
    this.#slots.close()
  }
}
