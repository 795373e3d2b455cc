import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { MaintenanceWindow, OpenWindow } from "../mode/window"
import { type Fate, fateOf, insteadOf, type Tenure } from "./fate"
import type { WindowHost } from "./host"
import { textOf, warn } from "../notices"

/**
 * The window that this DataSource has entered last, unless it is known to be over. If it ends other than by a
 * call here, a warning reports that, since its maintainer might work on unaware.
 */
export class HeldWindow {
  readonly #host: WindowHost
  #held: Tenure | undefined

  constructor(host: WindowHost) {
    this.#host = host
  }

  /** Records a window that was entered here. */
  entered(held: Tenure): void {
    this.#held = held
  }

  /** Forgets the window without a warning. */
  forget(): void {
    this.#held = undefined
  }

  /** Ends the window on purpose, so that no warning reports it. */
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

  /** Whether a window is held that is not in force: it is over, or lies under another. */
  isPerhapsOver({ windowId }: MaintenanceStatus): boolean {
    return this.#held !== undefined && windowId !== this.#held.id
  }

  /** Checks each state that is read, and reports if the window is over. */
  read({ status, windows }: StampedState): void {
    const held = this.#held
    if (!held || !this.isPerhapsOver(status) || windows.some(({ id }) => id === held.id)) return
    const successor = windows.findLast((window) => isSameSpell(window, held))
    this.#held = successor && { id: successor.id, was: successor }
    this.#reportIfOver(held, status, successor).catch(() => undefined)
  }

  /** Records a vanished window in the journal, if the state was replaced from outside and lacks it. */
  noteIfReplaced({ id, was }: Tenure, { endedBecause }: Fate): void {
    if (endedBecause !== "replaced") return
    const { journal } = this.#host.watch.store
    journal.noteReplaced({ ...was, id }).catch((error: unknown) => {
      warn(
        `A window of ${was.maintainer} no longer exists, and its end could not be recorded in the journal: ${textOf(error)}`,
      )
    })
  }

  async #reportIfOver(
    held: Tenure,
    status: MaintenanceStatus,
    successor: OpenWindow | undefined,
  ): Promise<void> {
    const fate = await fateOf(await this.#host.access.store(), held.id)
    this.noteIfReplaced(held, fate)
    const { maintainer, reason } = held.was
    const which = `The maintenance by ${maintainer}${reason === undefined ? "" : ` (${reason})`}`
    const why = `${fate.why}. ${insteadOf(status)}`
    if (!successor) warn(`${which} is over: ${why}`)
    // Its maintainer has entered another mode.
    else if (fate.endedBecause === "replaced") warn(`${which} was replaced: ${why}`)
  }
}

/** Whether a window, not of a task, belongs to the same spell of the same maintainer. */
function isSameSpell(window: MaintenanceWindow, { was }: Tenure): window is OpenWindow {
  return (
    window.position !== "announced" &&
    !window.isTask &&
    window.maintainer === was.maintainer &&
    window.since.getTime() === was.since?.getTime()
  )
}
