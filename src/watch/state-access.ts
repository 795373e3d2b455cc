import { AccessRefusedError, StateUnavailableError, type WriteVetoedError } from "../errors"
import type { Actor } from "../mode/actor"
import type { MinuteOfRefusals, PastWindow } from "../mode/journal"
import { restrictionOf } from "../mode/restriction"
import type { MaintenanceReport, MaintenanceStatus } from "../mode/status"
import type { RefusedChange } from "../mode/refused-change"
import { accessRefused, factsOf, notWritable, writeVetoed } from "../refusal"
import type { JournalRange } from "../state/journal"
import { briefMs, isPassing, persistently } from "../state/persistence"
import { SharedQuestion } from "../state/shared-question"
import { isLocked } from "../sqlstate"
import type { StateStore } from "../state/state-store"
import type { Watch } from "./watch"

/**
 * Time for which a caller's read of the state is retried, in milliseconds. A lost connection is not reported
 * at once.
 */
const readAgainMs = 1000

/**
 * Reads the state for callers. Each method rejects with MaintenanceSetupError or StateUnavailableError if it
 * cannot be read.
 */
export class StateAccess {
  readonly #watch: Watch
  readonly #ready: () => Promise<StateStore>
  readonly #current = new SharedQuestion(async () => {
    const status = await (await this.store()).readWhenIdle()
    return { status, refusal: status.mode === "normal" ? undefined : notWritable(status) }
  })
  readonly #reported = new SharedQuestion(async () => {
    const store = await this.store()
    return persistently(() => this.#watch.report(), { withinMs: readAgainMs }).catch(unlocked(store))
  })

  /** `ready` resolves when the state can be read. */
  constructor(watch: Watch, ready: () => Promise<StateStore>) {
    this.#watch = watch
    this.#ready = ready
  }

  /** The state in the database. */
  store(): Promise<StateStore> {
    return this.#ready()
  }

  /** Reads the state after a change, so that all DataSources of this process know it at once. */
  async refresh(): Promise<MaintenanceStatus> {
    const store = await this.store()
    this.#watch.outdateOthers()
    return persistently(() => this.#watch.refresh(), { withinMs: briefMs }).catch(unlocked(store))
  }

  /** Reads the status with the windows and the instances. Concurrent callers share one read. */
  async report(): Promise<MaintenanceReport> {
    const report = await this.#reported.answer()
    return { ...report }
  }

  /** Reads the windows that are over. */
  async journal(range: JournalRange): Promise<PastWindow[]> {
    const store = await this.store()
    return this.#watch.journal(range).catch(unlocked(store))
  }

  /** Reads the refusals since a time, by minute. */
  async refusals(sinceMs: number): Promise<MinuteOfRefusals[]> {
    const store = await this.store()
    return this.#watch.refusals(sinceMs).catch(unlocked(store))
  }

  /** The refusal of an actor who may not write, or undefined. Retries for a second. */
  async refusalWithRetry(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined> {
    const store = await this.store()
    const ask = () => this.refusalOf(actor)
    const refusal = await persistently(ask, { withinMs: readAgainMs }).catch(unlocked(store))
    return refusal && notWritable(refusal)
  }

  /**
   * The refusal of an actor who may not write, or undefined. Concurrent callers share one read of the state.
   */
  async refusalOf(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined> {
    const { status, refusal } = await this.#current.answer()
    return restrictionOf(status, actor) === "none" ? undefined : refusal
  }

  /** The refusal of changes that are about to be made; undefined if they may be, or if that cannot be read: then the fence decides. */
  async refusalOfWrite(
    actor: Actor,
    changes: () => readonly RefusedChange[],
  ): Promise<WriteVetoedError | AccessRefusedError | undefined> {
    const refusal = await this.refusalOf(actor).catch(() => undefined)
    if (!refusal) return undefined
    const facts = factsOf(refusal)
    return refusal instanceof AccessRefusedError
      ? accessRefused(facts)
      : writeVetoed(facts, { changes: changes() })
  }
}

/** Rethrows an error. If a lock is the cause, throws an error that names the session holding it. */
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
