import type { ReportDraining } from "../drain/draining-feed"
import { DrainTimeoutError, NotMaintainerError, OutcomeUnknownError, WindowEndedError } from "../errors"
import type { Entered } from "../mode/status"
import { perhapsAbandoned } from "../state/not-changed"
import type { Opened, Opening, Start } from "../state/opening"
import { persistently } from "../state/persistence"
import type { StateStore } from "../state/state-store"
import { AnnouncedStart } from "./announced-start"
import { drainTimedOut, type Wanted } from "./drain-failure"
import { endedError } from "./ended"
import { announcedDrainOf, drainOfEntry, type Entry } from "./entry"
import { announcedFailed, interrupted } from "./failure"
import type { WindowEvents, WindowHost } from "./host"
import { RestoredDrain } from "./restored-drain"
import { WindowDrain } from "./window-drain"
import { warn } from "../notices"

/** The parameters for entering a window, and the call that waits for it. */
type Settling = Pick<Entry, "plan" | "acknowledgeWithinMs" | "signal"> & {
  readonly opening: Wanted & { readonly terms: Pick<Opening["terms"], "lease" | "graceMs"> }
  readonly call: string
  readonly report: ReportDraining
}

/**
 * Enters windows: announces them, drains in-flight transactions, and waits for the instances'
 * acknowledgements.
 */
export class Entering {
  readonly #host: WindowHost
  readonly #drain: WindowDrain
  readonly #announcedStart: AnnouncedStart
  /** Waits for windows that come into force without being entered. */
  readonly restored: RestoredDrain

  constructor(host: WindowHost, events: WindowEvents) {
    this.#host = host
    this.#drain = new WindowDrain(host, events)
    this.#announcedStart = new AnnouncedStart(host, events)
    this.restored = new RestoredDrain(host, this.#drain)
  }

  /**
   * Enters a window. Resolves when it is in force and the drain is over. `report` receives the blockers
   * meanwhile.
   */
  async enter(entry: Entry, report: ReportDraining): Promise<Entered> {
    const store = await this.#host.access.store()
    const { opening, start, signal } = entry
    signal?.throwIfAborted()
    const { watch } = this.#host
    const whole = () => ({ ...opening, instance: watch.instance })
    const entered = watch.entering(opening.id)
    try {
      if (start) await this.#announcedStart.wait(store, { ...entry, start, opening: whole() })
      const isAnnounced = start !== undefined
      const opened = await store.switching
        .start(whole(), isAnnounced, signal)
        .catch(async (error: unknown) => {
          throw isAnnounced ? await this.#announcedStart.notStarted(store, opening, error) : error
        })
      const call = opening.task === undefined ? "enter()" : "during()"
      return await this.#settle(store, opened, { ...entry, call, report })
    } finally {
      entered()
    }
  }

  /** Announces a window that any instance may begin. Returns its start. */
  async announce(entry: Entry, start: Start): Promise<Date> {
    const store = await this.#host.access.store()
    const opening = { ...entry.opening, instance: undefined }
    return store.switching.announce(opening, start, drainOfEntry(entry))
  }

  /**
   * Begins an announced window, whichever process announced it, and drains as its options demand. Failures
   * are reported as process warnings. If it is too early, resolves with the milliseconds that remain.
   */
  async begin(id: string): Promise<number | undefined> {
    const store = await this.#host.access.store()
    const { watch } = this.#host
    const done = watch.entering(id)
    try {
      const begun = await store.switching.begin(id, watch.instance)
      if (begun === undefined) return undefined
      if ("startsInMs" in begun) return begun.startsInMs
      const { opened, request, lateMs } = begun
      const { mode, acting_user: user, is_emergency: isEmergency, reason, message } = request
      const { lease, grace_ms: graceMs } = request
      const opening = { mode, actor: { user, isEmergency }, reason, message, terms: { lease, graceMs } }
      const how = { ...announcedDrainOf(request, lateMs), signal: undefined }
      const call = "the process that began it"
      await this.#settle(store, opened, { opening, ...how, call, report: () => undefined }).catch(
        (error: unknown) => {
          // A user who has ended the window meanwhile knows about it.
          if (!(error instanceof WindowEndedError)) warn(announcedFailed(opening, error))
        },
      )
      return undefined
    } finally {
      done()
    }
  }

  async #settle(store: StateStore, opened: Opened, settling: Settling): Promise<Entered> {
    const { opening, plan, acknowledgeWithinMs, signal, call, report } = settling
    const over = new AbortController()
    const { epoch } = opened
    const until = AbortSignal.any(signal ? [over.signal, signal] : [over.signal])
    try {
      const { lease, graceMs } = opening.terms
      const { watch } = this.#host
      // The window may be tied to another process: the one that announced it.
      if (graceMs !== undefined && lease === watch.lease) watch.keepRenewing(graceMs)
      const status = await persistently(() => this.#host.access.refresh(), { signal })
      if (status.epoch === epoch) this.restored.entered(status, plan)
      const { acknowledged, inform } = this.#drain.acknowledged(store, epoch, {
        withinMs: acknowledgeWithinMs,
        until,
      })
      const waited = { ...opening, call, isEntering: true, report }
      const left = await this.#drain.run(store, opened, { waited, plan, inform, signal })
      if (left.length > 0) throw drainTimedOut(left, this.#drain.reportedPlan(plan), opening)
      const unacknowledged = await acknowledged
      signal?.throwIfAborted()
      await store.switching.end(opened, signal)
      if (unacknowledged.length > 0) {
        const names = unacknowledged.map(({ host, pid }) => `process ${pid} on ${host}`).join(", ")
        warn(
          `These instances have not acknowledged within ${acknowledgeWithinMs} ms: ${names}. Their writes are still refused.`,
        )
      }
      return { ...status, unacknowledged }
    } catch (error) {
      const failure = await this.#failed(store, opened, { ...settling, error })
      throw failure instanceof WindowEndedError
        ? await endedError(this.#host, opened, { store, what: "entering was complete", cause: failure })
        : failure
    } finally {
      over.abort()
    }
  }

  /** Restores the previous mode if the failure demands it. Returns the error to throw. */
  async #failed(
    store: StateStore,
    opened: Opened,
    { opening, signal, error }: Settling & { readonly error: unknown },
  ): Promise<unknown> {
    if (error instanceof WindowEndedError) return error
    const isAborted = signal?.aborted === true
    if (!isAborted && !(error instanceof DrainTimeoutError)) {
      await this.#interrupt(store, opened)
      return interrupted(error)
    }
    try {
      await store.switching.abandon(opened, opening.actor)
      await this.#host.access.refresh().catch(() => undefined)
    } catch (failure) {
      if (failure instanceof OutcomeUnknownError) return perhapsAbandoned(failure)
      if (!(failure instanceof WindowEndedError || failure instanceof NotMaintainerError)) {
        await this.#interrupt(store, opened)
        return interrupted(failure)
      }
      // Another process, which had begun the window, has completed the entering.
      if (isAborted && (await this.#isThere(opened).catch(() => true))) return interrupted(signal.reason)
      // Another user has ended the window; it did not expire.
      if (!isAborted && failure.mode !== "normal") return failure
    }
    return isAborted ? signal.reason : error
  }

  /**
   * Records that this process no longer waits. If that fails, it is tried again in the background: nobody else can know
   * it while this process lives.
   */
  async #interrupt(store: StateStore, opened: Opened): Promise<void> {
    const interrupt = () => store.switching.interrupt(opened)
    const { stopped } = this.#host.watch
    await interrupt().catch(() => {
      persistently(interrupt, { signal: stopped }).catch(() => undefined)
    })
  }

  async #isThere({ id }: Opened): Promise<boolean> {
    const { windows } = await this.#host.access.report()
    return windows.some((window) => window.id === id)
  }
}
