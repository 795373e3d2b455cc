import { AsyncResource } from "node:async_hooks"
import { randomUUID } from "node:crypto"
import { setTimeout as pause } from "node:timers/promises"
import type { DataSource, EntityManager } from "typeorm"
import { Installation } from "./enforcement/install"
import type { Blocker } from "./drain/blocker"
import { drain, type Draining, type DrainPlan } from "./drain/drain"
import { drainTimedOut, endedMeanwhile } from "./drain/failure"
import { AccessRefusedError, DrainTimeoutError, MaintenanceInputError, WriteVetoedError } from "./errors"
import { currentTask, knownUser, namedActor, runAs, runTask, runWithPolicy } from "./identity"
import type { Actor, Entered, MaintenanceReport, MaintenanceStatus, Mode } from "./mode/mode"
import {
  checkMode,
  checkPolicy,
  checkOptions,
  checkReason,
  checkExpiry,
  checkSignal,
  checkUser,
  type DrainOptions,
  drainPlanOf,
  durationOf,
  graceOf,
  resolveOptions,
  type MaintenanceOptions,
} from "./options"
import { type RefusalPolicy, shared } from "./shared"
import type { Switch } from "./state/state-store"
import { keepRenewing } from "./state/renewal"
import { whenWritable } from "./when-writable"

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
  /**
   * After how many milliseconds the window ends by itself, on the database's clock, even if every process is dead; from 1000
   * up. Default: not at all, or as was said before.
   */
  expiresInMs?: number | undefined
  /**
   * `"alive"` ties the window to this process: it ends when nothing was heard of its watch for `graceMs`, be it that the
   * process is dead, stopped, or cut off. Default: it stands, whoever is dead, or as was said before.
   */
  heldWhile?: "alive" | undefined
  /** How many milliseconds nothing need be heard of this process; from 1000 up. Default: 30000. */
  graceMs?: number | undefined
  /** What is done about what others have running. Default: that of the mode. */
  drain?: DrainOptions | undefined
  /** Breaks the entering off: the mode goes back to what it was, and `enter()` rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** Who changes the mode. */
export interface LeaveOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
}

/** How long a window is to stand. */
export interface ExtendOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /** After how many milliseconds from now it ends by itself; from 1000 up. Default: not at all. */
  expiresInMs?: number | undefined
}

/** To whom a window is handed. */
export interface TransferOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /** The new maintainer. */
  to: string
}

/** How long to wait. */
export interface WaitOptions {
  /** After how many milliseconds to give up. Default: never. */
  timeoutMs?: number | undefined
  /** Gives up with the signal's reason. */
  signal?: AbortSignal | undefined
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
  /** A mode is being entered by this DataSource, and others are in the way: when that changes, and every second. */
  draining: (draining: Draining) => void
  /** Something was refused in this process. */
  refused: (error: WriteVetoedError | AccessRefusedError) => void
}

const enterOptions = [
  "as",
  "reason",
  "expiresInMs",
  "heldWhile",
  "graceMs",
  "drain",
  "acknowledgeWithinMs",
  "signal",
]

/** What `enter()` is asked for, checked. */
interface Entry {
  readonly mode: Mode
  readonly actor: Actor
  readonly reason: string | undefined
  readonly plan: DrainPlan
  readonly acknowledgeWithinMs: number
  readonly expiresInMs: number | undefined
  /** How long the window goes on without this process; undefined if it is not tied to it. */
  readonly graceMs: number | undefined
  readonly signal: AbortSignal | undefined
  /** The `during` that it opens the window for. */
  readonly task?: string
}

/** PostgreSQL's codes for a transaction that would succeed if it were run again. */
const retryable = new Set(["40001", "40P01"])
const firstRetryMs = 5
const lastRetryMs = 500

/** The switch of one DataSource. Made by `installMaintenance`. */
export class Maintenance {
  readonly #installation: Installation
  readonly #listeners: { [Event in keyof MaintenanceEvents]: Set<MaintenanceEvents[Event]> } = {
    change: new Set(),
    draining: new Set(),
    refused: new Set(),
  }

  /** Who follows the draining; told nothing more when it is over. */
  readonly #followers = new Set<(draining: Draining | undefined) => void>()

  /** Use `installMaintenance`. */
  constructor(dataSource: DataSource, options: MaintenanceOptions = {}) {
    this.#installation = new Installation(dataSource, resolveOptions(options), {
      changed: (status) => this.#emit("change", status),
      refused: (error) => this.#emit("refused", error),
    })
    shared.installed.add(this)
  }

  /**
   * Opens a maintenance window, or switches the mode of one's own without a gap. The mode holds from the beginning on; this
   * resolves when, moreover, no write of anybody else is under way, the instances know, and what others had running was
   * waited for as `drain` says: by default not at all in concurrent mode, and for 30 seconds in exclusive mode. From then
   * on no write of anybody else commits; in exclusive mode nobody else gets a connection. `enter("normal")` is `leave()`.
   *
   * Throws NotMaintainerError if somebody else holds a window (an emergency user takes it over) or ends this one meanwhile;
   * DrainTimeoutError if it is abandoned, and the mode is what it was before; and MaintenanceInputError for an unknown mode,
   * no user, a reason that is empty or too long, or another option that makes no sense.
   */
  async enter(mode: Mode, options: EnterOptions = {}): Promise<Entered> {
    if (checkMode(mode) === "normal") {
      checkOptions(options, enterOptions)
      return { ...(await this.leave({ as: options.as })), unacknowledged: [] }
    }
    const entry = this.#entryOf(mode, options)
    const { epoch } = await this.#announce(entry)
    return this.#settle(epoch, entry)
  }

  /** Ends the window. Throws NotMaintainerError for a stranger, MaintenanceInputError in normal mode. */
  async leave(options: LeaveOptions = {}): Promise<MaintenanceStatus> {
    checkOptions(options, ["as"])
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    await store.leave(actor)
    return this.#installation.refresh()
  }

  /**
   * Has the window end by itself at another time than was said, or not at all. Throws NotMaintainerError for a stranger,
   * MaintenanceInputError in normal mode, which is also that of a window that has ended, and for less than a second.
   */
  async extend(options: ExtendOptions = {}): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "expiresInMs"])
    const expiresInMs = checkExpiry(options.expiresInMs)
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    await store.extend(actor, expiresInMs)
    return this.#installation.refresh()
  }

  /**
   * Hands the window to another maintainer; when it resolves, no write of the former one is under way any more. Throws
   * NotMaintainerError for a stranger, MaintenanceInputError in normal mode, and for nobody to hand it to.
   */
  async transfer(options: TransferOptions): Promise<MaintenanceStatus> {
    checkOptions(options, ["as", "to"])
    const to = checkUser(options.to)
    const actor = this.#actor(options.as)
    const store = await this.#installation.store()
    const epoch = await store.transfer(actor, to)
    const status = await this.#installation.refresh()
    await this.#drain(epoch, { withinMs: 0, outcome: "proceed" })
    return status
  }

  /** The state, and the instances, read from the database. */
  status(): Promise<MaintenanceReport> {
    return this.#installation.report()
  }

  /**
   * Enters, runs the work as the maintainer, and leaves, whatever happens; a window that the same user held before is
   * put back as it was instead, and so is somebody else's that an emergency user took over. Resolves with what the work
   * resolves with; if the work throws, so does this. Throws NotMaintainerError if another `during` of the same user is
   * running, here or in another process, and if the window was ended or taken over before the work was done; and what
   * `enter` throws, when the work was not begun.
   */
  async during<T>(mode: Mode, options: EnterOptions, work: () => T | Promise<T>): Promise<T> {
    if (checkMode(mode) === "normal") {
      throw new MaintenanceInputError('during("normal") makes no sense: name the mode to enter.')
    }
    const entry = { ...this.#entryOf(mode, options), task: randomUUID() }
    if (typeof work !== "function") throw new MaintenanceInputError("during() needs a function to run.")
    const user = knownUser(entry.actor)
    const { task } = entry
    const { epoch, previous } = await this.#announce(entry)
    const finish = async () => {
      const store = await this.#installation.store()
      await store.finish(task, previous)
      await this.#installation.refresh()
    }
    let isEntered = false
    let result: T
    try {
      await this.#settle(epoch, entry)
      isEntered = true
      result = await runTask(user, task, work)
    } catch (error) {
      await finish().catch((failure) => {
        // A window that was abandoned is ended already.
        if (isEntered) warn(`The maintenance of ${user} was not ended: ${String(failure)}`)
      })
      throw error
    }
    await finish()
    return result
  }

  /**
   * Throws the refusal if whom the running code acts for may not write now: to be called before an effect outside the database,
   * which no veto undoes. It looks, and holds nothing: a window may begin right afterwards.
   */
  async assertWritable(): Promise<void> {
    await this.#installation.assertWritable(this.#actor(undefined))
  }

  /**
   * Resolves when whom the running code acts for may write, at once if that is so already: for loops that take one job after
   * the other. After a window the waiting ones are released one by one, within a quarter of a second. Throws the refusal
   * if `timeoutMs` is over, and the reason of the signal.
   */
  async whenWritable(options: WaitOptions = {}): Promise<void> {
    checkOptions(options, ["timeoutMs", "signal"])
    const timeoutMs = durationOf("timeoutMs", options.timeoutMs, Number.POSITIVE_INFINITY)
    const signal = checkSignal(options.signal)
    const refusal = () => this.assertWritable().then(() => undefined, refusalOf)
    const onChange = (listener: () => void) => this.on("change", listener)
    await whenWritable({ refusal, onChange }, { timeoutMs, signal })
  }

  /** Runs the work, and all that it starts, on behalf of a user: a maintainer context if the user is the maintainer. */
  runAs<T>(user: string, work: () => T): T {
    return runAs(user, work)
  }

  /**
   * Runs the work, and all that it starts, with a policy of its own for whom a window restricts: `"wait"` before a connection is
   * taken, or `"throw"`; see the option `onRefused`.
   */
  whenRefused<T>(policy: RefusalPolicy, work: () => T): T {
    return runWithPolicy(checkPolicy(policy), work)
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

  /**
   * What `on("draining")` tells, as an async iterator: of the entering that is under way in this DataSource, or else of the next,
   * until that is over.
   */
  async *draining(): AsyncGenerator<Draining, void, void> {
    const told: (Draining | undefined)[] = []
    let wake: () => void = () => undefined
    const follow = (draining: Draining | undefined) => {
      told.push(draining)
      wake()
    }
    this.#followers.add(follow)
    try {
      for (;;) {
        if (told.length === 0) await new Promise<void>((resolve) => (wake = resolve))
        const draining = told.shift()
        if (!draining) return
        yield draining
      }
    } finally {
      this.#followers.delete(follow)
    }
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

  #entryOf(mode: Mode, options: EnterOptions): Entry {
    checkOptions(options, enterOptions)
    return {
      mode,
      actor: this.#actor(options.as),
      reason: checkReason(options.reason),
      plan: drainPlanOf(mode, options.drain),
      acknowledgeWithinMs: durationOf("acknowledgeWithinMs", options.acknowledgeWithinMs, 5000),
      expiresInMs: checkExpiry(options.expiresInMs),
      graceMs: graceOf(options),
      signal: checkSignal(options.signal),
    }
  }

  /** Commits the new mode. */
  async #announce({ mode, actor, reason, plan, expiresInMs, graceMs, signal, task }: Entry): Promise<Switch> {
    const store = await this.#installation.store()
    const withinTask = currentTask(actor.user)
    const tasks = { task: task ?? withinTask, withinTask }
    signal?.throwIfAborted()
    const { instance } = this.#installation
    if (graceMs === undefined)
      return store.startEntering(mode, actor, reason, tasks, plan, {
        expiresInMs,
        lease: undefined,
        instance,
      })
    const id = randomUUID()
    const terms = { expiresInMs: Math.min(graceMs, expiresInMs ?? graceMs), lease: id, instance }
    const entered = await store.startEntering(mode, actor, reason, tasks, plan, terms)
    const { expiresAt } = await this.#installation.refresh()
    const latest =
      expiresInMs === undefined || !expiresAt
        ? undefined
        : new Date(expiresAt.getTime() - terms.expiresInMs + expiresInMs)
    void keepRenewing(store, { id, graceMs, latest })
    return entered
  }

  /** Waits for what had passed its fence before, for what others had running, and for the instances to know. */
  async #settle(epoch: number, entry: Entry): Promise<Entered> {
    const start = performance.now()
    const store = await this.#installation.store()
    try {
      const status = await this.#installation.refresh()
      const left = await this.#drain(epoch, entry.plan, entry.signal)
      if (left.length > 0) throw drainTimedOut(left, entry.plan)
      const acknowledgeWithinMs = Math.max(0, entry.acknowledgeWithinMs - (performance.now() - start))
      const unacknowledged = await store.acknowledged(epoch, acknowledgeWithinMs)
      if (unacknowledged.length > 0) {
        const names = unacknowledged.map(({ host, pid }) => `process ${pid} on ${host}`).join(", ")
        warn(
          `Not all know of the maintenance after ${entry.acknowledgeWithinMs} ms: ${names}. They cannot write either.`,
        )
      }
      await store.endEntering(epoch)
      return { ...status, unacknowledged }
    } catch (error) {
      if (error instanceof DrainTimeoutError || entry.signal?.aborted) {
        await store.abandon(epoch, entry.actor)
        await this.#installation.refresh()
      }
      throw error
    } finally {
      for (const follow of this.#followers) follow(undefined)
    }
  }

  async #drain(epoch: number, plan: DrainPlan, signal?: AbortSignal): Promise<readonly Blocker[]> {
    const store = await this.#installation.store()
    const blockers = store.blockersOf(epoch, () => this.#installation.unrestrictedPids)
    const assertStanding = () => {
      // It is read anew whenever it changes.
      if (this.#installation.lastEpoch > epoch) throw endedMeanwhile()
    }
    return drain(
      {
        look: (holders) => blockers.look(holders),
        end: (blocker, how) => blockers.end(blocker, how),
        holders: () => store.holders(epoch),
        assertStanding,
        tell: (draining) => {
          this.#emit("draining", draining)
          for (const follow of this.#followers) follow(draining)
        },
      },
      plan,
      signal,
    )
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

/** A refusal as it is; throws anything else. */
function refusalOf(error: unknown): WriteVetoedError | AccessRefusedError {
  if (error instanceof WriteVetoedError || error instanceof AccessRefusedError) return error
  throw error
}

function isRetryable(error: unknown): boolean {
  const { code, driverError } = error as { code?: string; driverError?: { code?: string } }
  return retryable.has(driverError?.code ?? code ?? "")
}
