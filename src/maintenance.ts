import { AsyncResource } from "node:async_hooks"
import { randomUUID } from "node:crypto"
import { setTimeout as pause } from "node:timers/promises"
import type { DataSource, EntityManager } from "typeorm"
import { Installation } from "./enforcement/install"
import { type AccessRefusedError, MaintenanceInputError, type WriteVetoedError } from "./errors"
import { currentTask, knownUser, namedActor, runAs, runTask } from "./identity"
import type { Actor, Entered, MaintenanceReport, MaintenanceStatus, Mode } from "./mode/mode"
import {
  checkMode,
  checkOptions,
  checkReason,
  durationOf,
  resolveOptions,
  type MaintenanceOptions,
} from "./options"
import { shared } from "./shared"
import type { Switch } from "./state/state-store"

/** Who changes the mode, and why. */
export interface EnterOptions {
  /** The maintainer. Default: whom the running code acts for. */
  as?: string | undefined
  /** Shown to everybody who is refused; at most 1000 characters. Default: none, or what was said before. */
  reason?: string | undefined
  /**
   * How many milliseconds to wait for the instances to say that they know the new mode. One that does not is named in the
   * result, and in a process warning. Default: 5000.
   */
  acknowledgeWithinMs?: number | undefined
}

/** Who changes the mode. */
export interface LeaveOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
}

/** How `maintenance.transaction` runs. */
export interface TransactionOptions {
  /** Default: that of the DataSource. */
  isolation?: "READ UNCOMMITTED" | "READ COMMITTED" | "REPEATABLE READ" | "SERIALIZABLE" | undefined
  /** How many times to try again after a serialization failure (40001) or a deadlock (40P01). Default: 5. */
  retries?: number | undefined
}

/** What `maintenance.on` can listen to. */
export interface MaintenanceEvents {
  /** The mode was changed, by any process. */
  change: (status: MaintenanceStatus) => void
  /** Something was refused in this process. */
  refused: (error: WriteVetoedError | AccessRefusedError) => void
}

const enterOptions = ["as", "reason", "acknowledgeWithinMs"]

/** PostgreSQL's codes for a transaction that would succeed if it were run again. */
const retryable = new Set(["40001", "40P01"])
const firstRetryMs = 5
const lastRetryMs = 500

/** The switch of one DataSource. Made by `installMaintenance`. */
export class Maintenance {
  readonly #installation: Installation
  readonly #listeners: { [Event in keyof MaintenanceEvents]: Set<MaintenanceEvents[Event]> } = {
    change: new Set(),
    refused: new Set(),
  }

  /** Use `installMaintenance`. */
  constructor(dataSource: DataSource, options: MaintenanceOptions = {}) {
    this.#installation = new Installation(dataSource, resolveOptions(options), {
      changed: (status) => this.#emit("change", status),
      refused: (error) => this.#emit("refused", error),
    })
    shared.installed.add(this)
  }

  /**
   * Opens a maintenance window, or switches the mode of one's own without a gap. When it resolves, no write of anybody
   * else commits any more, and none is under way; in exclusive mode nobody else gets a connection. `enter("normal")` is
   * `leave()`. Throws NotMaintainerError if somebody else holds a window (an emergency user takes it over), and
   * MaintenanceInputError for an unknown mode, no user, or a reason that is empty or too long.
   */
  async enter(mode: Mode, options: EnterOptions = {}): Promise<Entered> {
    checkOptions(options, enterOptions)
    const acknowledgeWithinMs = durationOf("acknowledgeWithinMs", options.acknowledgeWithinMs, 5000)
    if (checkMode(mode) === "normal") {
      return { ...(await this.leave({ as: options.as })), unacknowledged: [] }
    }
    const { epoch } = await this.#announce(mode, options)
    return this.#settle(epoch, acknowledgeWithinMs)
  }

  /** Ends the window. Throws NotMaintainerError for a stranger, MaintenanceInputError in normal mode. */
  async leave(options: LeaveOptions = {}): Promise<MaintenanceStatus> {
    checkOptions(options, ["as"])
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    await store.leave(actor)
    return this.#installation.refresh()
  }

  /** The state, and the instances, read from the database. */
  status(): Promise<MaintenanceReport> {
    return this.#installation.report()
  }

  /**
   * Enters, runs the work as the maintainer, and leaves, whatever happens; a window that the same user held before is
   * put back as it was instead, and so is somebody else's that an emergency user took over. Resolves with what the work
   * resolves with; if the work throws, so does this. Throws NotMaintainerError if another `during` of the same user is
   * running, here or in another process, and if the window was ended or taken over before the work was done.
   */
  async during<T>(mode: Mode, options: EnterOptions, work: () => T | Promise<T>): Promise<T> {
    if (checkMode(mode) === "normal") {
      throw new MaintenanceInputError('during("normal") makes no sense: name the mode to enter.')
    }
    checkOptions(options, enterOptions)
    const acknowledgeWithinMs = durationOf("acknowledgeWithinMs", options.acknowledgeWithinMs, 5000)
    if (typeof work !== "function") throw new MaintenanceInputError("during() needs a function to run.")
    const user = knownUser(this.#actor(options.as))
    const task = randomUUID()
    const { epoch, previous } = await this.#announce(mode, { ...options, as: user }, task)
    const finish = async () => {
      const store = await this.#installation.store()
      await store.finish(task, previous)
      await this.#installation.refresh()
    }
    let result: T
    try {
      await this.#settle(epoch, acknowledgeWithinMs)
      result = await runTask(user, task, work)
    } catch (error) {
      await finish().catch((failure) => warn(`The maintenance of ${user} was not ended: ${String(failure)}`))
      throw error
    }
    await finish()
    return result
  }

  /** Runs the work, and all that it starts, on behalf of a user: a maintainer context if the user is the maintainer. */
  runAs<T>(user: string, work: () => T): T {
    return runAs(user, work)
  }

  /**
   * As `dataSource.transaction`, and run again after a serialization failure or a deadlock; each attempt meets the
   * state as it is then. A refusal is not retried.
   */
  async transaction<T>(
    work: (manager: EntityManager) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkOptions(options, ["isolation", "retries"])
    const { isolation, retries = 5 } = options
    if (!Number.isInteger(retries) || retries < 0) {
      throw new MaintenanceInputError(
        `The option retries is a whole number from 0 up; this one is ${retries}.`,
      )
    }
    const { dataSource } = this.#installation
    for (let attempt = 0; ; attempt++) {
      try {
        return await (isolation ? dataSource.transaction(isolation, work) : dataSource.transaction(work))
      } catch (error) {
        if (attempt >= retries || !isRetryable(error)) throw error
        await pause(Math.random() * Math.min(firstRetryMs * 2 ** attempt, lastRetryMs))
      }
    }
  }

  /** Listens; returns the undo. An error that a listener throws is reported as a process warning. */
  on<Event extends keyof MaintenanceEvents>(event: Event, listener: MaintenanceEvents[Event]): () => void {
    if (!Object.hasOwn(this.#listeners, event)) {
      throw new MaintenanceInputError(
        `Unknown event "${event}"; there are ${Object.keys(this.#listeners).join(", ")}.`,
      )
    }
    if (typeof listener !== "function") {
      throw new MaintenanceInputError(`The listener of "${event}" must be a function.`)
    }
    // In the context of this call: the connection that brings the news may have been opened in a maintainer's.
    const bound = AsyncResource.bind(listener as () => void) as MaintenanceEvents[Event]
    this.#listeners[event].add(bound)
    return () => void this.#listeners[event].delete(bound)
  }

  /** Whether its DataSource is initialized. */
  get isInUse(): boolean {
    return this.#installation.dataSource.isInitialized
  }

  /** Resolves when the plugin enforces; `dataSource.initialize()` waits for it. Throws MaintenanceSetupError. */
  ready(): Promise<void> {
    return this.#installation.ready()
  }

  /** Gives the DataSource back as it was. The state in the database stays. */
  async uninstall(): Promise<void> {
    shared.installed.delete(this)
    await this.#installation.uninstall()
  }

  /** Commits the new mode. */
  async #announce(mode: Mode, { as, reason }: EnterOptions, task?: string): Promise<Switch> {
    const actor = this.#actor(as)
    const checkedReason = checkReason(reason)
    const store = await this.#installation.store()
    const withinTask = currentTask(actor.user)
    return store.enter(mode, actor, checkedReason, { task: task ?? withinTask, withinTask })
  }

  /** Waits for what had passed its fence before, and for the instances to know. */
  async #settle(epoch: number, acknowledgeWithinMs: number): Promise<Entered> {
    const status = await this.#installation.refresh()
    const store = await this.#installation.store()
    await store.holdersGone(epoch)
    const unacknowledged = await store.acknowledged(epoch, acknowledgeWithinMs)
    if (unacknowledged.length > 0) {
      const names = unacknowledged.map(({ host, pid }) => `process ${pid} on ${host}`).join(", ")
      warn(
        `Not all know of the maintenance after ${acknowledgeWithinMs} ms: ${names}. They cannot write either.`,
      )
    }
    return { ...status, unacknowledged }
  }

  #actor(as: string | undefined): Actor {
    return namedActor(this.#installation.options, as)
  }

  #emit<Event extends keyof MaintenanceEvents>(
    event: Event,
    ...args: Parameters<MaintenanceEvents[Event]>
  ): void {
    for (const listener of this.#listeners[event]) {
      const report = (error: unknown) => warn(`A listener of "${event}" threw: ${String(error)}`)
      try {
        const result: unknown = (listener as (...args: Parameters<MaintenanceEvents[Event]>) => unknown)(
          ...args,
        )
        if (result instanceof Promise) result.catch(report)
      } catch (error) {
        report(error)
      }
    }
  }
}

/**
 * Installs maintenance mode in a DataSource, before or after `initialize()`. From then on every connection of the
 * DataSource is fenced; those that were taken from the pool before are not. Throws MaintenanceSetupError if the
 * DataSource is not one of PostgreSQL, has the plugin already, or TypeORM, pg or an option is not as needed.
 */
export function installMaintenance(dataSource: DataSource, options: MaintenanceOptions = {}): Maintenance {
  return new Maintenance(dataSource, options)
}

function warn(message: string): void {
  process.emitWarning(message, "MaintenanceWarning")
}

function isRetryable(error: unknown): boolean {
  const { code, driverError } = error as { code?: string; driverError?: { code?: string } }
  return retryable.has(driverError?.code ?? code ?? "")
}
