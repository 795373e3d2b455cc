import { DrainTimeoutError, NotMaintainerError, OutcomeUnknownError, WindowEndedError } from "../errors"
import type { Entered, MaintenanceStatus } from "../mode/status"
import { isDestroyed } from "../state/destroyed"
import { perhapsAbandoned } from "../state/not-changed"
import { persistently } from "../state/persistence"
import { lockKeys } from "../state/schema"
import type { StateStore } from "../state/state-store"
import type { Opened, Opening, Start } from "../state/switching"
import { awaitStart } from "./announcement"
import type { Blocker } from "../mode/blocker"
import { Blockers } from "../drain/blockers"
import { drain, type Draining, type DrainPlan } from "../drain/drain"
import type { Tell } from "../drain/draining-feed"
import { announcedDrainOf, commitsOnly, drainOfEntry, type Entry, usualPlanOf } from "./entry"
import {
  announcedFailed,
  destroyedBefore,
  drainTimedOut,
  interrupted,
  notBegun,
  stillCommitting,
  stillOpen,
  stillWaiting,
  type Told,
  type Wanted,
  type Waited,
  windowEnded,
} from "./failure"
import { fateOf } from "./fate"
import type { WindowHost } from "./host"

/** Whom it tells. */
export interface EnteringEvents {
  draining(draining: Draining): void
  /** Listens to changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
  warn(message: string): void
}

/** What is waited for, how long, and for whom. */
interface Wait {
  readonly waited: Waited
  readonly plan: DrainPlan
  readonly inform: () => Promise<unknown>
  readonly signal?: AbortSignal | undefined
}

/** A window that is entered: how, and the call that waits for it. */
type Settling = Pick<Entry, "plan" | "acknowledgeWithinMs" | "signal"> & {
  readonly opening: Wanted & { readonly terms: Pick<Opening["terms"], "lease" | "graceMs"> }
  readonly call: string
  readonly tell: Tell
}

/** How long the instances may take to know a mode that is put back. */
const acknowledgeMs = 5000

/** After how long a process warning says whom it is waited for. */
const sayAfterMs = 5000

/** Enters modes: announces them, waits for what others have running, and for the instances to know. */
export class Entering {
  readonly #host: WindowHost
  readonly #events: EnteringEvents
  /** How the windows were entered that this DataSource has entered, and may be put back. */
  readonly #plans = new Map<string, DrainPlan>()

  constructor(host: WindowHost, events: EnteringEvents) {
    this.#host = host
    this.#events = events
  }

  /** Resolves when the mode holds and nothing of others is left that it does not restrict; `tell` is told who is in the way. */
  async enter(entry: Entry, tell: Tell): Promise<Entered> {
    const store = await this.#host.store()
    const { opening, start, signal } = entry
    signal?.throwIfAborted()
    const { watch } = this.#host
    const whole = () => ({ ...opening, instance: watch.instance })
    const entered = watch.entering(opening.id)
    try {
      if (start) await this.#announced(store, { ...entry, start, opening: whole() })
      const isAnnounced = start !== undefined
      const opened = await store.switching
        .start(whole(), isAnnounced, signal)
        .catch(async (error: unknown) => {
          throw isAnnounced ? await this.#notStarted(store, opening, error) : error
        })
      const call = opening.task === undefined ? "enter()" : "during()"
      return await this.#settle(store, opened, { ...entry, call, tell })
    } finally {
      entered()
    }
  }

  /** Announces a window, for any instance to begin it; returns when. */
  async announce(entry: Entry, start: Start): Promise<Date> {
    const store = await this.#host.store()
    const opening = { ...entry.opening, instance: undefined }
    return store.switching.announce(opening, start, drainOfEntry(entry))
  }

  /**
   * Begins a window that was announced, whoever has: waits for what others have running as was asked for then, and says in a process
   * warning what goes wrong. Resolves with in how many milliseconds it is to be begun, if it is too early.
   */
  async begin(id: string): Promise<number | undefined> {
    const store = await this.#host.store()
    const { watch } = this.#host
    const done = watch.entering(id)
    try {
      const begun = await store.switching.begin(id, watch.instance)
      if (begun === undefined) return undefined
      if ("startsInMs" in begun) return begun.startsInMs
      const { opened, request, lateMs } = begun
      const { mode, acting_user: user, is_emergency: isEmergency, reason, lease, grace_ms: graceMs } = request
      const opening = { mode, actor: { user, isEmergency }, reason, terms: { lease, graceMs } }
      const how = { ...announcedDrainOf(request, lateMs), signal: undefined }
      const call = "the process that began it"
      await this.#settle(store, opened, { opening, ...how, call, tell: () => undefined }).catch(
        (error: unknown) => {
          // Whoever has ended it meanwhile knows of it.
          if (!(error instanceof WindowEndedError)) this.#events.warn(announcedFailed(opening, error))
        },
      )
      return undefined
    } finally {
      done()
    }
  }

  /** Forgets how windows were entered, for there is none. */
  forget(): void {
    this.#plans.clear()
  }

  /**
   * Waits for commits of the former maintainer that are under way when a window was handed over. Throws DrainTimeoutError if they
   * are not over in time, WindowEndedError if the window of the new one is over before.
   */
  async handedOver(store: StateStore, opened: Opened, waited: Waited, withinMs?: number): Promise<void> {
    const plan = commitsOnly(withinMs)
    const inform = () => Promise.resolve()
    const left = await this.#drain(store, opened, { waited, plan, inform }).catch(async (error: unknown) => {
      if (!(error instanceof WindowEndedError)) throw error
      throw await this.#ended(store, opened, {
        what: "the commits of its former maintainer were",
        cause: error,
      })
    })
    if (left.length > 0) throw stillCommitting(left, this.#told(plan), waited)
  }

  /**
   * Waits for what others have begun in a weaker mode, when the mode of a status is back: as it was entered by this DataSource, or as
   * is usual in that mode. Throws DrainTimeoutError if that is not over in time. Whoever changes the mode meanwhile ends the waiting.
   */
  async putBack(store: StateStore, opened: Opened, status: MaintenanceStatus, tell: Tell): Promise<void> {
    const { mode, reason, epoch } = status
    const plan = this.#plans.get(nameOf(status)) ?? usualPlanOf(mode)
    const actor = { user: status.maintainer, isEmergency: false }
    const waited = { mode, actor, reason, call: "during()", tell }
    const over = new AbortController()
    try {
      const { inform } = this.#acknowledged(store, epoch, acknowledgeMs, over.signal)
      const left = await this.#drain(store, opened, { waited, plan, inform })
      if (left.length > 0) throw stillOpen(left, this.#told(plan), waited)
    } catch (error) {
      if (error instanceof DrainTimeoutError) throw error
      if (!(error instanceof WindowEndedError)) throw interrupted(error, { call: "during()" })
    } finally {
      over.abort()
    }
  }

  /** Waits for the instances to know an epoch; `inform` is for drain(). */
  #acknowledged(store: StateStore, epoch: number, withinMs: number, until: AbortSignal) {
    const acknowledged = store.fleet.acknowledged(epoch, withinMs, until)
    // It may be over before anybody asks what that came to.
    acknowledged.catch(() => undefined)
    const inform = (): Promise<unknown> =>
      acknowledged.then(() => store.fleet.askedAnew(epoch, withinMs, until)).catch(() => undefined)
    return { acknowledged, inform }
  }

  /** Waits for those who have passed their fence before an epoch, and for what others had running, as a plan says. */
  async #drain(
    store: StateStore,
    opened: Opened,
    { waited, plan, inform, signal }: Wait,
  ): Promise<readonly Blocker[]> {
    const window = { mode: waited.mode, maintainer: waited.actor.user as string }
    const { schema } = this.#host.options
    const blockers = new Blockers(
      (text, values) => store.look(text, values, signal),
      { schema, presence: lockKeys(schema).presence, opened },
      () => this.#host.unrestrictedBackends(window),
    )
    let isSaid = false
    return drain(
      {
        look: (holders) => blockers.look(holders),
        end: (blocker, how) => blockers.end(blocker, how),
        holders: () => store.switching.waitedFor(opened, signal),
        inform,
        tell: (draining) => {
          this.#events.draining(draining)
          waited.tell(draining)
          if (isSaid || draining.waitedMs < sayAfterMs) return
          isSaid = true
          this.#events.warn(stillWaiting(draining, waited, this.#told(plan)))
        },
      },
      plan,
      signal,
    )
  }

  #told(plan: DrainPlan): Told {
    return { ...plan, showsQueries: this.#host.options.showsQueries }
  }

  /**
   * Announces a window, and resolves when it is to begin. Throws WindowEndedError if it does not, StateUnavailableError if the
   * DataSource is destroyed.
   */
  async #announced(
    store: StateStore,
    entry: Entry & { readonly start: Start; readonly opening: Opening },
  ): Promise<void> {
    const { opening, start, signal } = entry
    const { onChange } = this.#events
    const { watch } = this.#host
    const { stopped } = watch
    const done = watch.awaiting(opening.id)
    try {
      await store.switching.announce(opening, start, drainOfEntry(entry))
      if (await awaitStart(store.switching, { opening, signal }, { onChange, stopped })) return
      throw await this.#notBegun(store, opening)
    } catch (error) {
      throw stopped.aborted && !signal?.aborted && isDestroyed(error)
        ? destroyedBefore(opening, watch.hasLapsed, error)
        : error
    } finally {
      done()
    }
  }

  /** The error for a window that is not there to begin at its time. */
  async #notBegun(store: StateStore, { id }: Pick<Opening, "id">): Promise<WindowEndedError> {
    const announcement = await store.switching.announcement(id)
    return notBegun(announcement, await this.#host.refresh())
  }

  /** The error for a window that could not begin at its time, which is announced no more. */
  async #notStarted(store: StateStore, opening: Pick<Opening, "id">, error: unknown): Promise<unknown> {
    const isMissed = error instanceof NotMaintainerError || error instanceof WindowEndedError
    await store.switching.lapse(opening.id, isMissed ? "missed" : "cancelled").catch(() => undefined)
    return error instanceof WindowEndedError ? this.#notBegun(store, opening) : error
  }

  async #settle(store: StateStore, opened: Opened, settling: Settling): Promise<Entered> {
    const { opening, plan, acknowledgeWithinMs, signal, call, tell } = settling
    const over = new AbortController()
    const { epoch } = opened
    const until = AbortSignal.any(signal ? [over.signal, signal] : [over.signal])
    try {
      const { lease, graceMs } = opening.terms
      const { watch } = this.#host
      // It may be tied to another process, which has announced it.
      if (graceMs !== undefined && lease === watch.lease) watch.keepRenewing(graceMs)
      const status = await persistently(() => this.#host.refresh(), { signal })
      if (status.epoch === epoch) this.#plans.set(nameOf(status), plan)
      const { acknowledged, inform } = this.#acknowledged(store, epoch, acknowledgeWithinMs, until)
      const waited = { ...opening, call, tell }
      const left = await this.#drain(store, opened, { waited, plan, inform, signal })
      if (left.length > 0) throw drainTimedOut(left, this.#told(plan), opening)
      const unacknowledged = await acknowledged
      signal?.throwIfAborted()
      await store.switching.end(opened, signal)
      if (unacknowledged.length > 0) {
        const names = unacknowledged.map(({ host, pid }) => `process ${pid} on ${host}`).join(", ")
        this.#events.warn(
          `Not all know of the maintenance after ${acknowledgeWithinMs} ms: ${names}. They cannot write either.`,
        )
      }
      return { ...status, unacknowledged }
    } catch (error) {
      const failure = await this.#failed(store, opened, settling, error)
      throw failure instanceof WindowEndedError
        ? await this.#ended(store, opened, { what: "it was entered to its end", cause: failure })
        : failure
    } finally {
      over.abort()
    }
  }

  /** The error for a window that is in force no more, with what became of it, and what holds instead. */
  async #ended(
    store: StateStore,
    { id }: Opened,
    { what, cause }: { what: string; cause: unknown },
  ): Promise<Error> {
    const fate = await fateOf(store, id)
    if (!fate.isOver) return interrupted(cause, { why: `${fate.why}.` })
    const status = await this.#host.refresh().catch(() => undefined)
    return windowEnded(what, fate, { status, cause })
  }

  /** Puts the mode back, where that is what was asked for; returns the error to throw. */
  async #failed(
    store: StateStore,
    opened: Opened,
    { opening, signal }: Settling,
    error: unknown,
  ): Promise<unknown> {
    if (error instanceof WindowEndedError) return error
    const isAborted = signal?.aborted === true
    if (!isAborted && !(error instanceof DrainTimeoutError)) {
      await store.switching.interrupt(opened).catch(() => undefined)
      return interrupted(error)
    }
    try {
      await store.switching.abandon(opened, opening.actor)
      await this.#host.refresh().catch(() => undefined)
    } catch (failure) {
      if (failure instanceof OutcomeUnknownError) return perhapsAbandoned(failure)
      if (!(failure instanceof WindowEndedError || failure instanceof NotMaintainerError))
        return interrupted(failure)
      // Another process has entered it to its end, which had begun it.
      if (isAborted && (await this.#isThere(opened).catch(() => true))) return interrupted(signal.reason)
      // Somebody else has ended it, and not its own end.
      if (!isAborted && failure.mode !== "normal") return failure
    }
    return isAborted ? signal.reason : error
  }

  async #isThere({ id }: Opened): Promise<boolean> {
    const { windows } = await this.#host.report()
    return windows.some((window) => window.id === id)
  }
}

/** A name for a window in one of its modes, which it has again when it is put back. */
function nameOf({ mode, maintainer, since }: MaintenanceStatus): string {
  return `${mode} ${since?.getTime()} ${maintainer}`
}
