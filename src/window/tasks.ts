import { randomUUID } from "node:crypto"
import type { DrainingFeed } from "../drain/draining-feed"
import {
  DrainTimeoutError,
  EnteringInterruptedError,
  MaintenanceInputError,
  OutcomeUnknownError,
} from "../errors"
import { knownUser, runTask } from "../identity/current-actor"
import { checkMode, checkWork } from "../input"
import type { MaintenanceStatus } from "../mode/status"
import type { Mode } from "../mode/mode"
import type { Opened } from "../state/opening"
import type { EnterOptions } from "./enter-options"
import type { Entering } from "./entering"
import type { Entry } from "./entry"
import { interruptedTask, taskEndedBySignal, taskLost } from "./failure"
import { fateOf } from "./fate"
import type { HeldWindow } from "./held-window"
import type { WindowHost } from "./host"
import type { SignalledEntering } from "./signalled-entering"
import type { SignalledWindow } from "./signalled-window"
import { textOf, warn } from "../notices"
import { messageOf } from "../refusal"

/** The parts that running a task needs. */
export interface TaskParts {
  readonly host: WindowHost
  readonly entering: Entering
  readonly signalled: SignalledEntering
  readonly held: HeldWindow
  readonly feed: DrainingFeed
  /** Checks and completes the options of a call. */
  readonly entryOf: (mode: Mode, options: EnterOptions, task: string) => Entry
}

/** A task in its window: the call that opened the window, and the state as it was entered. */
interface RanTask {
  readonly task: string
  readonly id: string
  readonly was: MaintenanceStatus
  readonly signalled: SignalledWindow | undefined
}

/** Runs work within its own window, for `during()`. */
export class Tasks {
  readonly #parts: TaskParts

  constructor(parts: TaskParts) {
    this.#parts = parts
  }

  /** Enters the window, runs the work as the maintainer, and ends the window. */
  async run<T>(mode: Mode, options: EnterOptions, work: () => T | Promise<T>): Promise<T> {
    const task = randomUUID()
    const ended = this.#parts.host.watch.entering(task)
    try {
      const [user, ran] = await this.#enter(mode, options, { task, work })
      return await this.#runIn(ran, user, work)
    } finally {
      ended()
    }
  }

  #enter(
    mode: Mode,
    options: EnterOptions,
    { task, work }: { task: string; work: unknown },
  ): Promise<[user: string, ran: RanTask]> {
    const { feed, signalled: entering, entryOf } = this.#parts
    return feed.whileUnderWay(async (report) => {
      if (checkMode(mode) === "normal") {
        throw new MaintenanceInputError(
          'during("normal") makes no sense. Name the mode to enter: "concurrent" or "exclusive".',
        )
      }
      const entry = entryOf(mode, options, task)
      checkWork("during()", work)
      const user = knownUser(entry.opening.actor)
      const leave = () => this.#end(task)
      const [was, signalled] = await entering.enter(entry, report, leave).catch(async (error: unknown) => {
        const mayStand = error instanceof EnteringInterruptedError || error instanceof OutcomeUnknownError
        throw mayStand ? await this.#undo(task, error) : error
      })
      return [user, { task, id: entry.opening.id, was, signalled }]
    })
  }

  async #runIn<T>(ran: RanTask, user: string, work: () => T | Promise<T>): Promise<T> {
    let result: T
    try {
      result = await runTask(user, ran.task, work)
    } catch (error) {
      await this.#finish(ran).catch((failure) => {
        const isEnded = failure instanceof DrainTimeoutError
        warn(isEnded ? messageOf(failure) : `The window of ${user} was not ended: ${textOf(failure)}`)
      })
      throw error
    }
    await this.#finish(ran)
    return result
  }

  /**
   * Ends the window of a task. Throws WindowEndedError if the window was over before. If the restored mode is
   * stricter, waits for transactions of other users begun meanwhile; throws DrainTimeoutError if they do not
   * end in time.
   */
  async #finish({ task, id, was, signalled }: RanTask): Promise<void> {
    const { host, held, feed, entering } = this.#parts
    const store = await host.access.store()
    const { mode } = host.watch.latest ?? was
    const { restored, status } = await this.#end(task).finally(() => signalled?.release())
    if (signalled?.endedBy) throw taskEndedBySignal(signalled.endedBy, await fateOf(store, id), status)
    if (!restored) {
      const fate = await fateOf(store, id)
      held.noteIfReplaced({ id, was }, fate)
      throw taskLost(fate, status)
    }
    if (mode !== "concurrent" || status.mode !== "exclusive") return
    await feed.whileUnderWay((report) => entering.restored.wait(store, restored, { status, report }))
  }

  /**
   * Ends the window of a task. Resolves with the restored window, if the task's window stood, and the status.
   */
  async #end(task: string): Promise<{ restored: Opened | undefined; status: MaintenanceStatus }> {
    const { host } = this.#parts
    const store = await host.access.store()
    const restored = await store.switching.finish(task)
    return { restored, status: await host.access.refresh() }
  }

  /**
   * Ends the window of a task that did not begin, if it stands. Returns the error that says what became of
   * it.
   */
  async #undo(
    task: string,
    error: EnteringInterruptedError | OutcomeUnknownError,
  ): Promise<EnteringInterruptedError | OutcomeUnknownError> {
    try {
      await this.#end(task)
      return interruptedTask(error)
    } catch {
      return error
    }
  }
}
