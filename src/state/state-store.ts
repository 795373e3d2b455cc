import { hostname } from "node:os"
import { setTimeout as pause } from "node:timers/promises"
import { Blockers, type Run } from "../drain/blockers"
import type { DrainOutcome, DrainPlan } from "../drain/drain"
import { MaintenanceError, MaintenanceSetupError } from "../errors"
import { knownUser } from "../identity"
import type { Actor, Instance, Mode, StampedState } from "../mode/mode"
import type { ControlConnection } from "./control-connection"
import { translateStateError } from "./refusal"
import { packageVersion } from "./schema-steps"
import { installedVersion, installSchema, lockKeys, maintenanceSchemaSql } from "./schema"

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
  expires_at: Date | null
  expires_in_ms: number | null
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

/** A row of the function entering(). */
interface EnteringRow {
  readonly epoch: number
  readonly deadline: Date
  readonly outcome: DrainOutcome
  readonly is_live: boolean
}

/** How long a window stands, and who enters it. */
export interface WindowTerms {
  readonly expiresInMs: number | undefined
  /** The name of the lease by which it is tied to a process. */
  readonly lease: string | undefined
  readonly instance: number | undefined
}

/** What ties a window to a process. */
export interface Lease {
  readonly id: string
  /** How long after it was renewed last the window ends. */
  readonly graceMs: number
  /** When it ends whoever lives, on the database's clock. */
  readonly latest: Date | undefined
}

/** What an instance tells. */
export interface Acknowledgement extends Backends {
  readonly epoch: number
  readonly refusals: number
}

/** The backends of a pool, by process id. */
export interface Backends {
  readonly pool: readonly number[]
  /** Those that acted last for somebody whom the state does not restrict. */
  readonly unrestricted: readonly number[]
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
    const readAt = performance.now()
    const [row] = await this.#rows<StatusRow>("status()", [])
    if (!row)
      throw new MaintenanceSetupError(
        `The table "${this.#schema}".state has no row: install the schema anew.`,
      )
    const { mode, epoch, maintainer, reason, since, stamp, expires_at: expiresAt } = row
    return {
      status: {
        mode,
        epoch,
        ...(maintainer === null ? {} : { maintainer }),
        ...(reason === null ? {} : { reason }),
        ...(since === null ? {} : { since }),
        ...(expiresAt === null ? {} : { expiresAt }),
      },
      stamp: stamp ?? undefined,
      endsAt: row.expires_in_ms === null ? undefined : readAt + row.expires_in_ms,
    }
  }

  /** Ends a window that has expired; gives the state a new stamp, if it has lost its own. */
  async mend(): Promise<void> {
    await this.#rows("mend()", [])
  }

  /**
   * Commits the new mode. It holds for every fence from now on, but transactions that have passed theirs still commit: it is
   * being entered until `endEntering`, or `abandon`.
   */
  async startEntering(
    mode: Mode,
    actor: Actor,
    reason: string | undefined,
    { task, withinTask }: TaskNames,
    { withinMs, outcome }: DrainPlan,
    { expiresInMs, lease, instance }: WindowTerms,
  ): Promise<Switch> {
    const call = "start_entering($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    const [row] = await this.#rows<EnterRow>(call, [
      mode,
      knownUser(actor),
      actor.isEmergency,
      reason ?? null,
      task ?? null,
      withinTask ?? null,
      expiresInMs ?? null,
      lease ?? null,
      instance ?? null,
      withinMs,
      outcome,
    ])
    if (!row) throw new Error("start_entering() returned no row")
    return { epoch: row.current_epoch, previous: row.previous }
  }

  /** Says that nothing is left to wait for. */
  async endEntering(epoch: number): Promise<void> {
    await this.#rows("end_entering($1)", [epoch])
  }

  /** Puts back what there was before the window that is being entered. */
  async abandon(epoch: number, actor: Actor): Promise<void> {
    await this.#rows("abandon($1, $2, $3)", [epoch, knownUser(actor), actor.isEmergency])
  }

  /** Throws the refusal of whoever may not write. */
  async admit(actor: Actor): Promise<void> {
    await this.#rows("admit($1, $2)", [actor.user ?? null, actor.isEmergency])
  }

  /** The window that is being entered, if there is one. */
  async entering(): Promise<EnteringRow | undefined> {
    return (await this.#rows<EnteringRow>("entering()", []))[0]
  }

  /** Who has passed a fence before this epoch, and has not ended: backends, and 0 for prepared transactions. */
  async holders(epoch: number): Promise<number[]> {
    const rows = await this.#persistently(() => this.#rows<{ holders: number }>(`holders($1)`, [epoch]))
    return rows.map(({ holders }) => holders)
  }

  /** Who is in the way of the window of an epoch. */
  blockersOf(epoch: number, ownPids: () => readonly number[]): Blockers {
    const { presence } = lockKeys(this.#schema)
    const run: Run = (text, values) => this.#persistently(() => this.#control.query(text, values))
    return new Blockers(run, { schema: this.#schema, presence, epoch }, ownPids)
  }

  /** Ends the window of a task: puts back the state that its enter() found. */
  async finish(task: string, previous: object): Promise<void> {
    await this.#rows("finish($1, $2)", [task, JSON.stringify(previous)])
  }

  /** Has the window end by itself so much later than now, or (undefined) not at all. */
  async extend(actor: Actor, expiresInMs: number | undefined): Promise<void> {
    await this.#rows("extend($1, $2, $3)", [knownUser(actor), actor.isEmergency, expiresInMs ?? null])
  }

  /** Puts off the end of a window that is tied to this process; returns whether there is such a window still. */
  async renew({ id, graceMs, latest }: Lease): Promise<boolean> {
    const [row] = await this.#rows<{ renew: boolean }>("renew($1, $2, $3)", [id, graceMs, latest ?? null])
    return row?.renew === true
  }

  /** Hands the window to another maintainer; returns the epoch. */
  async transfer(actor: Actor, to: string): Promise<number> {
    const values = [knownUser(actor), actor.isEmergency, to]
    const [row] = await this.#rows<{ transfer: number }>("transfer($1, $2, $3)", values)
    return row?.transfer as number
  }

  async leave(actor: Actor): Promise<void> {
    await this.#rows("leave($1, $2)", [knownUser(actor), actor.isEmergency])
  }

  /** Whether the server is a read replica. */
  async isStandby(): Promise<boolean> {
    const { rows } = await this.#control.query<{ is_standby: boolean }>(
      "select pg_is_in_recovery() as is_standby",
    )
    return rows[0]?.is_standby === true
  }

  /**
   * Makes the connection the watch of an instance, as long as it is open; returns the instance's id. The former one is what
   * it had on the connection before.
   */
  async register(knownEpoch: number, formerId: number | undefined): Promise<number> {
    const values = [hostname(), process.pid, packageVersion, knownEpoch]
    const [row] = await this.#rows<{ register: number }>("register($1, $2, $3, $4)", values)
    const id = row?.register as number
    if (formerId !== undefined) await this.#rows("come_again($1, $2)", [formerId, id])
    return id
  }

  /** Tells what an instance knows and does; returns whether it is registered still. */
  async acknowledge(id: number, { epoch, refusals, pool, unrestricted }: Acknowledgement): Promise<boolean> {
    const values = [id, epoch, refusals, pool, unrestricted]
    const [row] = await this.#rows<{ acknowledge: boolean }>("acknowledge($1, $2, $3, $4, $5)", values)
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

  /** A lost connection is opened again by the next look; the state stands meanwhile. */
  async #persistently<T>(look: () => Promise<T>): Promise<T> {
    for (let failures = 0; ;) {
      try {
        return await look()
      } catch (error) {
        if (error instanceof MaintenanceError || ++failures > maxLostConnections) throw error
      }
      await pause(lastWaitMs)
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
