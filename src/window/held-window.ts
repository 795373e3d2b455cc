import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { MaintenanceWindow, OpenWindow } from "../mode/window"
import { type Fate, fateOf, insteadOf, type Tenure } from "./fate"
import type { WindowHost } from "./host"
import { warn } from "../notices"

/**
 * The window that this DataSource has entered last, if it is not known to be over. Its maintainer may work on unaware when it
 * ends otherwise than by a call here, so a warning reports that.
 */
export class HeldWindow {
  readonly #host: WindowHost
  #held: Tenure | undefined

  constructor(host: WindowHost) {
    this.#host = host
  }

  /** Takes note of a window that was entered here. */
  entered(held: Tenure): void {
    this.#held = held
  }

  /** Forgets it, without a warning. */
  forget(): void {
    this.#held = undefined
  }

  /** Ends the window by intention. */
  async letGo<T>(end: () => Promise<T>): Promise<T> {
    const held = this.#held
    this.#held = undefined
    try {
      return await end()
    } catch (error) {
      this.#held ??= held
      throw error
    }
  }

  /** Whether there is one, and it is not in force: then it is over, or lies under another. */
  isPerhapsOver({ windowId }: MaintenanceStatus): boolean {
    return this.#held !== undefined && windowId !== this.#held.id
  }

  /** Finds out, of each state that is read, whether the window is over. */
  read({ status, windows }: StampedState): void {
    const held = this.#held
    if (!held || !this.isPerhapsOver(status) || windows.some(({ id }) => id === held.id)) return
    const successor = windows.findLast((window) => isSameSpell(window, held))
    this.#held = successor && { id: successor.id, was: successor }
    this.#reportIfOver(held, status, successor).catch(() => undefined)
  }

  /** Records in the journal that a window is over which was entered here, if the state is of another history that lacks it. */
  noteIfReplaced({ id, was }: Tenure, { endedBecause }: Fate): void {
    if (endedBecause !== "replaced") return
    const { journal } = this.#host.watch.store
    journal.noteReplaced({ ...was, id }).catch((error: unknown) => {
      warn(`A window of ${was.maintainer} that is gone could not be noted in the journal: ${String(error)}`)
    })
  }

  async #reportIfOver(
    held: Tenure,
    status: MaintenanceStatus,
    successor: OpenWindow | undefined,
  ): Promise<void> {
    const fate = await fateOf(await this.#host.store(), held.id)
    this.noteIfReplaced(held, fate)
    const { maintainer, reason } = held.was
    const which = `The maintenance by ${maintainer}${reason === undefined ? "" : ` (${reason})`}`
    const why = `${fate.why}. ${insteadOf(status)}`
    if (!successor) warn(`${which} is over: ${why}`)
    // Its maintainer has entered another mode.
    else if (fate.endedBecause === "replaced") warn(`${which} is not as it was: ${why}`)
  }
}

/** Whether a window, that of no task, is of the same spell of maintenance as another, of the same maintainer. */
function isSameSpell(window: MaintenanceWindow, { was }: Tenure): window is OpenWindow {
  return (
    window.position !== "announced" &&
    !window.isTask &&
    window.maintainer === was.maintainer &&
    window.since.getTime() === was.since?.getTime()
  )
}
