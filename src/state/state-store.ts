import { hostname } from "node:os"
import { setTimeout as pause } from "node:timers/promises"
import { MaintenanceError, MaintenanceSetupError } from "../errors"
import { knownUser } from "../identity"
import type { Actor, Instance, Mode, StampedState } from "../mode/mode"
import type { ControlConnection } from "./control-connection"
import { translateStateError } from "./refusal"
import { packageVersion } from "./schema-steps"
import { installedVersion, installSchema, maintenanceSchemaSql } from "./schema"

/** How often in a row the connection may be lost while waiting. */
const maxLostConnections = 50
/** How long to wait at most before looking again. */
const lastWaitMs = 20

/** A row of the function status(). */
interface StatusRow {
  mode: Mode
  maintainer: string | null
  reason: string | null
  since: Date | null
  epoch: number
  stamp: string | null
}

/** A row of the function instances(). */
interface InstanceRow extends Omit<Instance, "refusals"> {
  refusals: string
}

/** A row of the function enter(). */
interface EnterRow {
  previous: object
  current_epoch: number
}

/** What a change of mode was. */
export interface Switch {
  /** The number of the state that it made. */
  readonly epoch: number
  /** The state before, for `finish`. */
  readonly previous: object
}

/** Which `during` a change of mode belongs to. */
export interface TaskNames {
  /** The one that opens the window. */
  readonly task?: string | undefined
  /** The one that it is called within. */
  readonly withinTask?: string | undefined
}

/** The state in the database: the run-time SQL of everything but the fence. */
export class StateStore {
  readonly #control: ControlConnection
  readonly #schema: string

  constructor(control: ControlConnection, schema: string) {
    this.#control = control
    this.#schema = schema
  }

  /**
   * Makes sure that the schema is there: creates or upgrades it, or with `migrate: false` only looks. Returns
   * whether it is there now. Throws MaintenanceSetupError.
   */
  async prepare(migrate: boolean): Promise<boolean> {
    await this.#checkServerVersion()
    if (migrate) await installSchema(this.#control, this.#schema)
    return (await installedVersion(this.#control, this.#schema)) !== undefined
  }

  /** The error for a schema that is not there and may not be created. */
  missingSchema(): MaintenanceSetupError {
    return new MaintenanceSetupError(
      `The schema "${this.#schema}" is not in this database, and migrate is false. Add MaintenanceMigration to the ` +
        `DataSource's migrations and run them as a role that may create objects, or run this as such a role:\n` +
        maintenanceSchemaSql({ schema: this.#schema }),
    )
  }

  /** The state as it is now. Throws MaintenanceSetupError if it cannot be read. */
  async read(): Promise<StampedState> {
    const [row] = await this.#rows<StatusRow>("status()", [])
    if (!row)
      throw new MaintenanceSetupError(
        `The table "${this.#schema}".state has no row: install the schema anew.`,
      )
    const { mode, epoch, maintainer, reason, since, stamp } = row
    return {
      status: {
        mode,
        epoch,
        ...(maintainer === null ? {} : { maintainer }),
        ...(reason === null ? {} : { reason }),
        ...(since === null ? {} : { since }),
      },
      stamp: stamp ?? undefined,
    }
  }

  /** Gives the state a new stamp, if it has lost its own. */
  async restamp(): Promise<void> {
    await this.#rows("restamp()", [])
  }

  /** Commits the new mode. It holds for every fence from now on, but transactions that have passed theirs still commit. */
  async enter(
    mode: Mode,
    actor: Actor,
    reason: string | undefined,
    { task, withinTask }: TaskNames,
  ): Promise<Switch> {
    const [row] = await this.#rows<EnterRow>("enter($1, $2, $3, $4, $5, $6)", [
      mode,
      knownUser(actor),
      actor.isEmergency,
      reason ?? null,
      task ?? null,
      withinTask ?? null,
    ])
    if (!row) throw new Error("enter() returned no row")
    return { epoch: row.current_epoch, previous: row.previous }
  }

  /** Ends the window of a task: puts back the state that its enter() found. */
  async finish(task: string, previous: object): Promise<void> {
    await this.#rows("finish($1, $2)", [task, JSON.stringify(previous)])
  }

  async leave(actor: Actor): Promise<void> {
    await this.#rows("leave($1, $2)", [knownUser(actor), actor.isEmergency])
  }

  /** Resolves when every transaction that passed its fence before this epoch has ended. */
  async holdersGone(epoch: number): Promise<void> {
    let failures = 0
    for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, lastWaitMs)) {
      try {
        if ((await this.#rows("holders($1)", [epoch])).length === 0) return
        failures = 0
      } catch (error) {
        // A lost connection is opened again by the next look; the state stands meanwhile.
        if (error instanceof MaintenanceError || ++failures > maxLostConnections) throw error
      }
      await pause(waitMs)
    }
  }

  /** Whether the server is a read replica. */
  async isStandby(): Promise<boolean> {
    const { rows } = await this.#control.query<{ is_standby: boolean }>(
      "select pg_is_in_recovery() as is_standby",
    )
    return rows[0]?.is_standby === true
  }

  /** Makes the connection the watch of an instance, as long as it is open; returns the instance's id. */
  async register(knownEpoch: number): Promise<number> {
    const values = [hostname(), process.pid, packageVersion, knownEpoch]
    const [row] = await this.#rows<{ register: number }>("register($1, $2, $3, $4)", values)
    return row?.register as number
  }

  /** Tells which state an instance knows, and how often it has refused; returns whether it is registered still. */
  async acknowledge(id: number, knownEpoch: number, refusals: number): Promise<boolean> {
    const values = [id, knownEpoch, refusals]
    const [row] = await this.#rows<{ acknowledge: boolean }>("acknowledge($1, $2, $3)", values)
    return row?.acknowledge === true
  }

  /** The live instances, in the order in which they came. */
  async instances(): Promise<Instance[]> {
    const rows = await this.#rows<InstanceRow>("instances()", [])
    return rows.map((row) => ({ ...row, refusals: Number(row.refusals) }))
  }

  /**
   * Resolves when all live instances know this epoch or a later one; after so many milliseconds with those that have not
   * told so.
   */
  async acknowledged(epoch: number, withinMs: number): Promise<Instance[]> {
    const deadline = performance.now() + withinMs
    for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, lastWaitMs)) {
      const missing = (await this.instances()).filter((instance) => instance.epoch < epoch)
      if (missing.length === 0 || performance.now() >= deadline) return missing
      await pause(Math.min(waitMs, Math.max(0, deadline - performance.now())))
    }
  }

  async #rows<Row extends object>(call: string, values: unknown[]): Promise<Row[]> {
    try {
      return (await this.#control.query<Row>(`select * from "${this.#schema}".${call}`, values)).rows
    } catch (error) {
      throw translateStateError(error, this.#schema)
    }
  }

  async #checkServerVersion(): Promise<void> {
    const { rows } = await this.#control.query<{ server_version_num: string }>("show server_version_num")
    checkServerVersion(Number(rows[0]?.server_version_num))
  }
}

/** Throws MaintenanceSetupError for a version of PostgreSQL, as `server_version_num` has it, that is too old. */
export function checkServerVersion(versionNumber: number): void {
  const major = Math.floor(versionNumber / 10_000)
  if (major >= 14) return
  throw new MaintenanceSetupError(
    `PostgreSQL ${major} is too old: typeorm-maintenance-mode needs 14 or later.`,
  )
}
