import type { Tell } from "../drain/draining-feed"
import type { Entered, MaintenanceStatus } from "../mode/status"
import type { Entering } from "./entering"
import type { Entry } from "./entry"
import { SignalledWindow } from "./signalled-window"

/** Enters modes; with `leaveOnSignal`, a signal of the process breaks that off, or ends what was entered. */
export class SignalledEntering {
  readonly #entering: Entering
  /** The window that this DataSource has entered last for signals to end, if it is not known to be over. */
  #last: SignalledWindow | undefined

  constructor(entering: Entering) {
    this.#entering = entering
  }

  /** Enters; resolves with the window that signals are to end by `leave`, if they are. */
  async enter(
    entry: Entry,
    tell: Tell,
    leave: () => Promise<unknown>,
  ): Promise<[Entered, SignalledWindow | undefined]> {
    if (!entry.leaveOnSignal) return [await this.#entering.enter(entry, tell), undefined]
    const { mode, actor } = entry.opening
    const signalled = new SignalledWindow(`the ${mode} maintenance of ${actor.user}`)
    const enter = (signal: AbortSignal) => this.#entering.enter({ ...entry, signal }, tell)
    return [await signalled.enter(enter, { signal: entry.signal, leave }), signalled]
  }

  /** Has signals end this window until it is over, instead of the one before. */
  hold(signalled: SignalledWindow | undefined): void {
    if (!signalled) return
    this.#last?.release()
    this.#last = signalled
  }

  /** Releases the window if the state is another's. */
  changed(status: MaintenanceStatus): void {
    this.#last?.changed(status)
  }

  /** No signal is to end it any longer. */
  release(): void {
    this.#last?.release()
  }
}
