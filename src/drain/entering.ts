import type { Installation } from "../enforcement/install"
import { DrainTimeoutError, MaintenanceSetupError, NotMaintainerError } from "../errors"
import type { Entered } from "../mode/mode"
import { persistently } from "../state/persistence"
import { lockKeys } from "../state/schema"
import type { StateStore } from "../state/state-store"
import type { Opened, Opening } from "../state/switching"
import { type Announcement, awaitStart } from "./announced"
import type { Blocker } from "./blocker"
import { Blockers } from "./blockers"
import { drain, type Draining, type DrainPlan } from "./drain"
import type { Tell } from "./draining-feed"
import type { Entry } from "./entry"
import {
  destroyedBefore,
  drainTimedOut,
  endedMeanwhile,
  interrupted,
  notBegun,
  stillWaiting,
  type Waited,
} from "./failure"
import type { Tenure } from "./fate"

/** Whom it tells. */
export interface EnteringEvents {
  draining(draining: Draining): void
  /** Listens to changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
  warn(message: string): void
}

/** After how long a process warning says whom it is waited for. */
const sayAfterMs = 5000

/** Enters modes: announces them, waits for what others have running, and for the instances to know. */
export class Entering {
  readonly #installation: Installation
  readonly #events: EnteringEvents

  constructor(installation: Installation, events: EnteringEvents) {
    this.#installation = installation
    this.#events = events
  }

  /** Resolves when the mode holds and nothing of others is left that it does not restrict; `tell` is told who is in the way. */
  async enter(entry: Entry, tell: Tell): Promise<Entered> {
    const store = await this.#installation.store()
    const { opening, start, signal } = entry
    signal?.throwIfAborted()
    const { watch } = this.#installation
    const whole = () => ({ ...opening, instance: watch.instance })
    const entered = watch.entering(opening.id)
    try {
      if (start) await this.#announced(store, { opening: whole(), start, signal })
      const isAnnounced = start !== undefined
      const opened = await store.switching
        .start(whole(), isAnnounced, signal)
        .catch(async (error: unknown) => {
          throw isAnnounced ? await this.#notStarted(store, opening, error) : error
        })
      return await this.#settle(store, opened, { ...entry, tell })
    } finally {
      entered()
    }
  }

  /** Waits for those who have passed their fence before an epoch; with a plan, for what others had running, too. */
  async drain(
    store: StateStore,
    opened: Opened,
    waited: Waited,
    plan: DrainPlan,
    inform: () => Promise<unknown>,
    signal?: AbortSignal,
  ): Promise<readonly Blocker[]> {
    const window = { mode: waited.mode, maintainer: waited.actor.user as string }
    const { schema } = this.#installation.options
    const blockers = new Blockers(
      (text, values) => store.look(text, values, signal),
      { schema, presence: lockKeys(schema).presence, opened },
      () => this.#installation.unrestrictedBackends(window),
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
          this.#events.warn(stillWaiting(draining, waited, plan))
        },
      },
      plan,
      signal,
    )
  }

  /** Resolves when what is announced is to begin. Throws NotMaintainerError if it is not, MaintenanceSetupError if it is destroyed. */
  async #announced(store: StateStore, announcement: Announcement): Promise<void> {
    const { opening, signal } = announcement
    const { onChange } = this.#events
    const { stopped } = this.#installation.watch
    try {
      if (await awaitStart(store.switching, announcement, { onChange, stopped })) return
      throw await this.#notBegun(store, opening)
    } catch (error) {
      const isDestroyed = stopped.aborted && !signal?.aborted && error instanceof MaintenanceSetupError
      throw isDestroyed ? destroyedBefore(opening, error) : error
    }
  }

  /** The error for a window that is not there to begin at its time. */
  async #notBegun(store: StateStore, { id }: Pick<Opening, "id">): Promise<NotMaintainerError> {
    const leftMs = await store.switching.startsIn(id)
    return notBegun(leftMs === null ? undefined : -leftMs, await this.#installation.refresh())
  }

  /** The error for a window that could not begin at its time, which is announced no more. */
  async #notStarted(
    store: StateStore,
    opening: Pick<Opening, "id" | "actor">,
    error: unknown,
  ): Promise<unknown> {
    if (isLost(error)) return this.#notBegun(store, opening)
    await store.switching.withdraw(opening).catch(() => undefined)
    return error
  }

  async #settle(store: StateStore, opened: Opened, entry: Entry & { tell: Tell }): Promise<Entered> {
    const { opening, plan, acknowledgeWithinMs, signal, tell } = entry
    let tenure: Tenure | undefined
    const over = new AbortController()
    const { epoch } = opened
    const until = AbortSignal.any(signal ? [over.signal, signal] : [over.signal])
    try {
      const { graceMs } = opening.terms
      if (graceMs !== undefined) this.#installation.watch.keepRenewing(graceMs)
      const status = await persistently(() => this.#installation.refresh(), { signal })
      if (status.epoch === epoch) tenure = { was: status, at: performance.now() }
      const acknowledged = store.fleet.acknowledged(epoch, acknowledgeWithinMs, until)
      // It may be over before anybody asks what that came to.
      acknowledged.catch(() => undefined)
      const inform = () =>
        acknowledged
          .then(() => store.fleet.askedAnew(epoch, acknowledgeWithinMs, until))
          .catch(() => undefined)
      const call = opening.task === undefined ? "enter()" : "during()"
      const left = await this.drain(store, opened, { ...opening, call, tell }, plan, inform, signal)
      if (left.length > 0) throw drainTimedOut(left, plan, opening)
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
      const failure = await this.#failed(store, opened, entry, error)
      if (!tenure || !isLost(failure)) throw failure
      const fate = tenure
      throw await this.#installation.refresh().then(
        (status) => endedMeanwhile(fate, status, failure),
        () => failure,
      )
    } finally {
      over.abort()
    }
  }

  /** Puts the mode back, where that is what was asked for; returns the error to throw. */
  async #failed(
    store: StateStore,
    opened: Opened,
    { opening, signal }: Entry,
    error: unknown,
  ): Promise<unknown> {
    if (error instanceof NotMaintainerError) return error
    const isAborted = signal?.aborted === true
    if (!isAborted && !(error instanceof DrainTimeoutError)) {
      await store.switching.interrupt(opened).catch(() => undefined)
      return interrupted(error)
    }
    try {
      await store.switching.abandon(opened, opening.actor)
      await this.#installation.refresh().catch(() => undefined)
    } catch (failure) {
      if (!(failure instanceof NotMaintainerError)) return interrupted(failure)
      // Somebody else has ended it, and not its own end.
      if (!isAborted && failure.mode !== "normal") return failure
    }
    return isAborted ? signal.reason : error
  }
}

/** Whether the database says that what it was asked about is gone. */
function isLost(error: unknown): boolean {
  return (
    error instanceof NotMaintainerError && (error.cause as { code?: string } | undefined)?.code === "MM006"
  )
}
