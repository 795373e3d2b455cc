import type { QueryResult, QueryResultRow } from "pg"
import { MaintenanceSetupError } from "../errors"
import { knownUser } from "../identity/current-actor"
import type { Actor } from "../mode/actor"
import type { Progress } from "../mode/progress"
import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { ControlConnection } from "./control-connection"
import { Fleet } from "./fleet"
import { installCommand } from "./install-command"
import { installAloud } from "./installation-notice"
import { Journal } from "./journal"
import { stateLocked } from "./locked"
import { briefMs, persistently } from "./persistence"
import { installSchema, isUpToDate, lookAtSchema } from "./schema"
import { StateFunctions } from "./state-functions"
import { stateIn, type StateRow } from "./state-row"
import { Switching } from "./switching"
import { lineBreak } from "../text"
import type { Priority } from "./control-queue"
import { endingIn, type EndingRow, type WindowEnding } from "./window-ending"

/**
 * Maximum duration of an installation in milliseconds, including those of other processes that come first.
 */
const installWithinMs = 300_000

/** Options for reading the state. */
export interface Reading {
  /** Whether to read all windows, not only the announced ones. Default: false. */
  readonly withWindows?: boolean
  readonly priority?: Priority | undefined
}

/** The state in the database: the run-time SQL of everything except the fence. */
export class StateStore {
  readonly switching: Switching
  readonly fleet: Fleet
  readonly journal: Journal
  readonly #control: ControlConnection
  readonly #functions: StateFunctions
  readonly #schema: string

  constructor(control: ControlConnection, schema: string) {
    this.#control = control
    this.#schema = schema
    this.#functions = new StateFunctions(control, schema)
    this.switching = new Switching(this.#functions)
    this.fleet = new Fleet(this.#functions)
    this.journal = new Journal(this.#functions)
  }

  /**
   * Prepares the schema: creates or upgrades it, or only looks with `migrate: false`. Returns whether it
   * exists now. Throws MaintenanceSetupError.
   */
  async prepare(migrate: boolean): Promise<boolean> {
    this.#control.reopen()
    const runner = {
      query: (text: string, values?: unknown[]) =>
        this.#control.query(text, values, { withinMs: installWithinMs }),
    }
    const sight = await lookAtSchema(runner, this.#schema)
    checkServerVersion(sight.serverVersion)
    if (!migrate || isUpToDate(sight)) return sight.version !== undefined
    const waitsFor = () => this.#control.waitsFor()
    await installAloud(this.#schema, waitsFor, () => installSchema(runner, this.#schema))
    return true
  }

  /** Makes the error for a schema that does not exist and may not be created. */
  missingSchema(): MaintenanceSetupError {
    return new MaintenanceSetupError(
      `The schema "${this.#schema}" is not installed in this database, and migrate is false. Run this as a role that may ` +
        `create objects${installCommand(this.#schema)}${lineBreak}` +
        "Or add MaintenanceMigration to the migrations of the DataSource, and run them as such a role.",
    )
  }

  /**
   * Reads the state once no other request waits: changes of the mode come first. Throws
   * MaintenanceSetupError.
   */
  async readWhenIdle(): Promise<MaintenanceStatus> {
    return (await this.read({ priority: "last" })).status
  }

  /**
   * Reads the present state, with all its windows on request. Throws MaintenanceSetupError if it cannot be
   * read.
   */
  async read({ withWindows = false, priority }: Reading = {}): Promise<StampedState> {
    const readAt = performance.now()
    const [row] = await this.#functions.rows<StateRow>("read_state", [withWindows], { priority })
    if (!row)
      throw new MaintenanceSetupError(
        `The table "${this.#schema}".state has no row. Install the schema again.`,
      )
    return stateIn(row, readAt)
  }

  /** Returns the end of the window that a call has opened, or of the last window of its task. */
  async endingOf(call: string): Promise<WindowEnding> {
    const read = () => this.#functions.rows<EndingRow>("ending_of", [call])
    const [row] = await persistently(read, { withinMs: briefMs })
    return endingIn(row as EndingRow)
  }

  /**
   * Makes the error for a state that cannot even be read, because other sessions have locked it. It names
   * them.
   */
  unreadable(error: unknown): Promise<Error> {
    return stateLocked(this.#functions, "The maintenance state cannot be read, and commits wait", error)
  }

  /** Records the progress of the work in the window in force. Throws NotMaintainerError for another user's window. */
  async reportProgress(actor: Actor, progress: Progress): Promise<void> {
    const values = [knownUser(actor), actor.isEmergency, progress]
    await this.#functions.rows("report_progress", values, { priority: "last" })
  }

  /** Ends a window that has expired; gives the state a new stamp if its own was lost. */
  async mend(): Promise<void> {
    await this.#functions.rows("mend")
  }

  /** Runs a statement that only looks, or may run twice, and retries it if the connection is lost. */
  look<Row extends QueryResultRow>(
    text: string,
    values: unknown[],
    signal?: AbortSignal,
  ): Promise<QueryResult<Row>> {
    return persistently(() => this.#control.query<Row>(text, values), { signal, isAbandonable: true })
  }
}

/** Throws MaintenanceSetupError for a PostgreSQL version (`server_version_num`) that is too old. */
export function checkServerVersion(versionNumber: number): void {
  const major = Math.floor(versionNumber / 10_000)
  if (major >= 14) return
  throw new MaintenanceSetupError(
    `PostgreSQL ${major} is not supported: typeorm-maintenance-mode needs PostgreSQL 14 or later.`,
  )
}
