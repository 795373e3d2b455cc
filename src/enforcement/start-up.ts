import type { DataSource } from "typeorm"
import { destroyed } from "../state/destroyed"
import type { Watch } from "../watch/watch"
import type { SchemaPresence } from "./fence-policy"
import type { HostDriver } from "./host"
import { mayInstallSchema } from "./migration"

/** The parts that `StartUp` needs. */
export interface StartUpParts {
  readonly dataSource: DataSource
  readonly driver: HostDriver
  readonly migrate: boolean
  readonly watch: Watch
  /** Called when the driver has pools. */
  connected(): void
  /** Called when TypeORM has built the entities and the subscribers. */
  built(): void
  /** Called when the DataSource begins to be destroyed. */
  closing(): void
  /** Called when it is destroyed. */
  closed(): void
}

/** Follows the DataSource from `initialize()` to `destroy()`, and gets the plugin ready in time. */
export class StartUp implements SchemaPresence {
  readonly #parts: StartUpParts
  #ready: Promise<void> | undefined
  #isReady = false
  #isAwaitingSchema = false
  #isUnderWay = false
  /** The preparation that `initialize()` waits for. If it fails, so does `initialize()`. */
  #starting: Promise<void> | undefined
  /** While the DataSource is being destroyed, nothing is prepared. */
  #isClosing = false

  constructor(parts: StartUpParts) {
    this.#parts = parts
  }

  /** Whether TypeORM is inspecting the server and the entities. Its queries then precede the schema. */
  get isUnderWay(): boolean {
    return this.#isUnderWay
  }

  get isAwaitingSchema(): boolean {
    return this.#isAwaitingSchema
  }

  /** Whether the schema exists and the watch listens. */
  get isReady(): boolean {
    return this.#isReady
  }

  /**
   * Resolves when the schema exists and the watch listens. Rejects with MaintenanceSetupError or
   * StateUnavailableError.
   */
  ready(): Promise<void> {
    if (this.#isClosing) {
      return Promise.reject(destroyed(", so its maintenance mode is not available"))
    }
    if (!this.#ready || this.#isAwaitingSchema) {
      const ready = this.#prepare()
      this.#ready = ready
      ready.catch(() => {
        if (this.#ready === ready) this.#ready = undefined
      })
    }
    return this.#ready
  }

  /**
   * Starts the preparation as early as possible, while TypeORM inspects the server and the entities. Code
   * that needs the plugin waits for it.
   */
  begin(): void {
    if (!this.#parts.driver.master || this.#starting) return
    this.#starting = this.ready()
    this.#starting.catch(() => undefined)
  }

  /** Wraps the driver's `connect()`. The plugin gets ready while TypeORM goes on. */
  async connect(connect: () => Promise<void>): Promise<void> {
    const { driver, connected } = this.#parts
    try {
      await this.#during(connect)
    } catch (error) {
      // TypeORM does not disconnect here. Its own query runner would keep a connection, and so the process,
      // alive.
      if (driver.master) await driver.disconnect().catch(() => undefined)
      throw error
    }
    connected()
    this.begin()
  }

  /**
   * Wraps the driver's `afterConnect()`, and resolves when the plugin is ready. If it rejects, TypeORM
   * destroys the DataSource.
   */
  async afterConnect(look: () => Promise<void>): Promise<void> {
    await this.#during(look)
    await (this.#starting ?? this.ready())
    this.#parts.built()
  }

  /** Wraps the driver's `disconnect()`. */
  async disconnect(disconnect: () => Promise<void>): Promise<void> {
    const { watch, closing, closed } = this.#parts
    this.#ready = this.#starting = undefined
    this.#isReady = false
    this.#isClosing = true
    closing()
    const stopped = watch.stop()
    try {
      await disconnect()
    } finally {
      await stopped
      this.#isClosing = false
      closed()
    }
  }

  async #prepare(): Promise<void> {
    const { dataSource, migrate, watch } = this.#parts
    const isInstalled = await watch.store.prepare(migrate)
    if (!isInstalled && !mayInstallSchema(dataSource.options.migrations)) throw watch.store.missingSchema()
    this.#isAwaitingSchema = !isInstalled
    if (isInstalled) await watch.start()
    this.#isReady = isInstalled
  }

  async #during(work: () => Promise<void>): Promise<void> {
    this.#isUnderWay = true
    try {
      await work()
    } finally {
      this.#isUnderWay = false
    }
  }
}
