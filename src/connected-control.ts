import { MaintenanceError, MaintenanceSetupError, StateUnavailableError } from "./errors"
import { MaintenanceControl } from "./maintenance-control"
import { type MaintenanceOptions, type ResolvedOptions, resolveOptions } from "./options"
import { messageOf } from "./refusal"
import type { ClientFactory } from "./state/control-connection"
import { isLocked } from "./sqlstate"
import type { Backend } from "./state/fleet"
import { isPassing } from "./state/persistence"
import type { StateStore } from "./state/state-store"
import { StateAccess } from "./watch/state-access"
import { Watch } from "./watch/watch"
import type { HostEvents, WindowHost } from "./window/host"

/** Returns a client of `pg` that is not connected, with these settings in addition to its own. */
export type CreateClient = (settings: object) => object

const optionNames = [
  "currentUser",
  "emergencyUsers",
  "schema",
  "showsQueries",
  "journalDays",
  "migrate",
] as const satisfies (keyof MaintenanceOptions)[]

/**
 * Options for `connectMaintenance()`. Their meaning is that of the same options of `installMaintenance()`,
 * with two exceptions: the default of `migrate` is `false`, and without `journalDays` the control deletes
 * nothing of the journal.
 */
export type ConnectOptions = Pick<MaintenanceOptions, (typeof optionNames)[number]>

/** The state behind a connection of its own, without a DataSource. */
class ConnectedState implements WindowHost {
  readonly options: ResolvedOptions
  readonly watch: Watch
  readonly access: StateAccess
  readonly #events: HostEvents
  readonly #ready: Promise<void>
  #isClosed = false

  constructor(createClient: ClientFactory, given: ConnectOptions, events: HostEvents) {
    this.options = resolveOptions(given, { names: optionNames, fallbacks: { migrate: false } })
    this.#events = events
    this.watch = new Watch(createClient, this.options.schema, {
      isPrepared: false,
      journalDays: given.journalDays,
      changed: (status) => events.changed(status),
      read: (state) => events.read(state),
      needsWindows: (status) => events.needsWindows(status),
      overdue: (status) => events.overdue(status),
      backends: () => [],
    })
    this.access = new StateAccess(this.watch, () => this.#store())
    this.#ready = this.#start()
    this.#ready.catch(() => undefined)
  }

  unrestrictedBackends(): readonly Backend[] {
    return []
  }

  /** Resolves when the watch has begun to listen. */
  ready(): Promise<void> {
    return this.#ready
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#events.stopped(true)
    await this.watch.stop()
  }

  async #store(): Promise<StateStore> {
    if (this.#isClosed) throw new MaintenanceSetupError("This control was closed. Connect again.")
    await this.#ready
    return this.watch.store
  }

  async #start(): Promise<void> {
    const { store } = this.watch
    try {
      if (!(await store.prepare(this.options.migrate))) throw store.missingSchema()
      await this.watch.start()
    } catch (error) {
      throw isLocked(error) ? await store.unreadable(error) : error
    }
  }
}

/** Changes the mode and reports the state over a connection of its own. Made by `connectMaintenance()`. */
export class ConnectedControl extends MaintenanceControl {
  readonly #state: ConnectedState

  /** Use `connectMaintenance()`. */
  constructor(createClient: CreateClient, options: ConnectOptions) {
    const factory = checkedFactory(createClient)
    let state: ConnectedState | undefined
    super((events) => (state = new ConnectedState(factory, options, events)))
    this.#state = state as unknown as ConnectedState
  }

  /** Resolves when the control has connected; rejects with MaintenanceSetupError or StateUnavailableError. */
  ready(): Promise<void> {
    return this.#state.ready()
  }

  /**
   * Closes the connection. A window that was entered stays, unless it is tied to this process (`heldWhile`).
   * A window whose start a call of this control awaits is cancelled.
   */
  close(): Promise<void> {
    return this.#state.close()
  }
}

/**
 * Connects to the state of a database without a DataSource, for command lines, control panels and scripts
 * that only change the mode. `createClient` returns a client of `pg` that is not connected yet, with the
 * settings that it is given in addition to its own:
 * `(settings) => new Client({ connectionString: process.env.DATABASE_URL, ...settings })`.
 *
 * The control is an instance: while it is connected, `status()` lists it. Close it with `close()`. Statements
 * of other connections are not fenced by it.
 *
 * Throws:
 *
 * - MaintenanceSetupError if an option is invalid, if the factory returns no client, if the database refuses
 *   the connection, or if the schema is not in the database.
 * - StateUnavailableError if the database does not answer.
 */
export async function connectMaintenance(
  createClient: CreateClient,
  options: ConnectOptions = {},
): Promise<ConnectedControl> {
  const control = new ConnectedControl(createClient, options)
  try {
    await control.ready()
    return control
  } catch (error) {
    await control.close()
    throw notConnected(error)
  }
}

/** Makes the error for a database to which no connection could be made. */
function notConnected(cause: unknown): unknown {
  if (cause instanceof MaintenanceError) return cause
  const message = `connectMaintenance() could not connect to the database: ${messageOf(cause)}.`
  return isPassing(cause)
    ? new StateUnavailableError(`${message} Retry later, or check the address.`, { cause })
    : new MaintenanceSetupError(`${message} Check the settings of the client.`, { cause })
}

function checkedFactory(createClient: CreateClient): ClientFactory {
  if (typeof createClient !== "function")
    throw new MaintenanceSetupError("connectMaintenance() needs a function that returns a client of pg.")
  return (settings) => {
    const client = createClient(settings) as ReturnType<ClientFactory> | undefined
    if (client instanceof Promise) {
      client.catch(() => undefined)
      throw new MaintenanceSetupError(
        "The function given to connectMaintenance() returned a promise. It must return the client at once, so get what " +
          "it needs before: (settings) => new Client({ connectionString, ...settings }).",
      )
    }
    // pg (8.11 to 8.23) keeps this setting as it is.
    const { _connectionTimeoutMillis: taken } = { ...client } as { _connectionTimeoutMillis?: number }
    const isOwn = taken === settings.connectionTimeoutMillis
    if (client?.connection?.stream && typeof client.query === "function" && isOwn) return client
    throw new MaintenanceSetupError(
      "The function given to connectMaintenance() returned no client of pg with the given settings. It must return a new " +
        "Client that is not connected: (settings) => new Client({ connectionString, ...settings }).",
    )
  }
}
