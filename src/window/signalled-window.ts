import { EnteringInterruptedError, OutcomeUnknownError } from "../errors"
import type { MaintenanceStatus } from "../mode/status"
import { signalHolds } from "./signal-holds"
import { brokenOffBySignal } from "./failure"

/**
 * A window that a signal to the process ends (`leaveOnSignal`): it aborts the entering, or leaves the window
 * that stands.
 */
export class SignalledWindow {
  /** Stops signals from ending the window, because it is over or belongs to another user. */
  readonly release: () => void
  readonly #interrupt = new AbortController()
  #entering: Promise<unknown> = Promise.resolve()
  #was: MaintenanceStatus | undefined
  #leave: (() => Promise<unknown>) | undefined
  #endedBy: NodeJS.Signals | undefined

  /** Registers the window for signals. `name` identifies it in warnings. */
  constructor(name: string) {
    this.release = signalHolds().add({ name, end: (signal) => this.#end(signal) })
  }

  /** The signal that has ended the window, if one has. */
  get endedBy(): NodeJS.Signals | undefined {
    return this.#endedBy
  }

  /**
   * Enters the window unless the caller's signal or a signal to the process aborts that. Afterwards, a signal
   * to the process calls `leave`.
   */
  async enter<Status extends MaintenanceStatus>(
    enter: (signal: AbortSignal) => Promise<Status>,
    { signal, leave }: { signal: AbortSignal | undefined; leave: () => Promise<unknown> },
  ): Promise<Status> {
    const entering = enter(AbortSignal.any([this.#interrupt.signal, ...(signal ? [signal] : [])]))
    this.#entering = entering
    try {
      const entered = await entering
      this.#was = entered
      this.#leave = leave
      return entered
    } catch (error) {
      this.release()
      throw error
    }
  }

  /** Releases the window if the state neither is this window nor lies over it. */
  changed({ mode, since, maintainer }: MaintenanceStatus): void {
    if (!this.#was) return
    const isSameSpell = since?.getTime() === this.#was.since?.getTime()
    const isSameMaintainer = maintainer === this.#was.maintainer
    // An emergency user who took the window over, rather than receiving it by a handover, may restore it.
    if (mode === "normal" || isSameSpell !== isSameMaintainer) this.release()
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#interrupt.abort(brokenOffBySignal(signal))
    await this.#entering.catch((error: unknown) => {
      // After any other failure, no window stands.
      if (error instanceof EnteringInterruptedError || error instanceof OutcomeUnknownError) throw error
    })
    await this.#leave?.()
    this.#endedBy = signal
    this.release()
  }
}
