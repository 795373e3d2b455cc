import type { ReportDraining } from "../drain/draining-feed"
import type { Entered, MaintenanceStatus } from "../mode/status"
import type { Entering } from "./entering"
import type { Entry } from "./entry"
import { SignalledWindow } from "./signalled-window"

/** Enters windows that a signal to the process may abort or end (`leaveOnSignal`). */
export class SignalledEntering {
  readonly #entering: Entering
  /** The window entered last here that signals are to end, unless it is known to be over. */
  #last: SignalledWindow | undefined

  constructor(entering: Entering) {
    this.#entering = entering
  }

  /**
   * Enters a window. With `leaveOnSignal`, resolves also with the window that signals end by calling `leave`.
   */
  async enter(
    entry: Entry,
    report: ReportDraining,
    leave: () => Promise<unknown>,
  ): Promise<[Entered, SignalledWindow | undefined]> {
    if (!entry.leaveOnSignal) return [await this.#entering.enter(entry, report), undefined]
    const { mode, actor } = entry.opening
    const signalled = new SignalledWindow(`the ${mode} maintenance by ${actor.user}`)
    const enter = (signal: AbortSignal) => this.#entering.enter({ ...entry, signal }, report)
    return [await signalled.enter(enter, { signal: entry.signal, leave }), signalled]
  }

  /** Makes signals end this window until it is over, and no longer the previous one. */
  hold(signalled: SignalledWindow | undefined): void {
    if (!signalled) return
    this.#last?.release()
    this.#last = signalled
  }

  /** Releases the window if the state belongs to another one. */
  changed(status: MaintenanceStatus): void {
    this.#last?.changed(status)
  }

  /** Releases the window, so that signals no longer end it. */
  release(): void {
    this.#last?.release()
  }
}
