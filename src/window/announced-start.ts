import { NotMaintainerError, WindowEndedError } from "../errors"
import { isDestroyed } from "../state/destroyed"
import type { Opening, Start } from "../state/opening"
import type { StateStore } from "../state/state-store"
import { awaitStart } from "./announcement"
import { drainOfEntry, type Entry } from "./entry"
import { destroyedBefore, notBegun } from "./failure"
import type { WindowEvents, WindowHost } from "./host"

/** Waits for the start of a window that `enter()` or `during()` has announced. */
export class AnnouncedStart {
  readonly #host: WindowHost
  readonly #events: WindowEvents

  constructor(host: WindowHost, events: WindowEvents) {
    this.#host = host
    this.#events = events
  }

  /**
   * Announces a window and resolves when it is time to begin it. Throws WindowEndedError if the window does
   * not begin, and StateUnavailableError if the DataSource is destroyed.
   */
  async wait(
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

  /** The error for an announced window that was gone when its time came. */
  async #notBegun(store: StateStore, { id }: Pick<Opening, "id">): Promise<WindowEndedError> {
    const announcement = await store.switching.announcement(id)
    return notBegun(announcement, await this.#host.access.refresh())
  }

  /**
   * The error for a window that could not begin at its time. Ends the announcement first, as missed or
   * cancelled.
   */
  async notStarted(store: StateStore, opening: Pick<Opening, "id">, error: unknown): Promise<unknown> {
    const isMissed = error instanceof NotMaintainerError || error instanceof WindowEndedError
    await store.switching.lapse(opening.id, isMissed ? "missed" : "cancelled").catch(() => undefined)
    return error instanceof WindowEndedError ? this.#notBegun(store, opening) : error
  }
}
