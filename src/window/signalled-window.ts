import { EnteringInterruptedError, OutcomeUnknownError } from "../errors"
import type { MaintenanceStatus } from "../mode/status"
import { signalHolds } from "./signal-holds"
import { brokenOffBySignal } from "./failure"

/** A window that a signal ends (`leaveOnSignal`): it breaks off the entering, or leaves what stands. */
export class SignalledWindow {
  /** No signal is to end it any more: it is over, or somebody else's. */
  readonly release: () => void
  readonly #interrupt = new AbortController()
  #entering: Promise<unknown> = Promise.resolve()
  #was: MaintenanceStatus | undefined
  #leave: (() => Promise<unknown>) | undefined
  #endedBy: NodeJS.Signals | undefined

  /** `name` is its name in a warning. */
  constructor(name: string) {
    this.release = signalHolds().add({ name, end: (signal) => this.#end(signal) })
  }

  /** The signal that has ended it, if one has. */
  get endedBy(): NodeJS.Signals | undefined {
    return this.#endedBy
  }

  /** Enters, unless the caller's signal or one of the process breaks that off; from then on it is ended by `leave`. */
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

  /** Releases it if the state is not this window any more, and does not stand over it. */
  changed({ mode, since, maintainer }: MaintenanceStatus): void {
    if (!this.#was) return
    const isSameSpell = since?.getTime() === this.#was.since?.getTime()
    const isSameMaintainer = maintainer === this.#was.maintainer
    // Who has taken it over, and was not handed it, may restore it.
    if (mode === "normal" || isSameSpell !== isSameMaintainer) this.release()
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#interrupt.abort(brokenOffBySignal(signal))
    await this.#entering.catch((error: unknown) => {
      // After any other failure nothing stands.
      if (error instanceof EnteringInterruptedError || error instanceof OutcomeUnknownError) throw error
    })
    await this.#leave?.()
    this.#endedBy = signal
    this.release()
  }
}
