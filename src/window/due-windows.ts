import { type AnnouncedWindow, isAnnounced } from "../mode/window"
import type { StampedState } from "../mode/status"

/** Time for which other processes leave a start to the process that announced the window, in milliseconds. */
const leaveToOthersMs = 1000
/** Spread of the processes' attempts after that, in milliseconds, so that they do not all start at once. */
const spreadMs = 1000
/** Furthest start that gets a timer, in milliseconds. A later one is considered again at the next read. */
const furthestMs = 60_000

/** Begins a window. Resolves with the milliseconds that remain if the call was too early. */
export type Begin = (id: string) => Promise<number | undefined>

/** The start of a window in this process, unless another process begins it first. */
interface Due {
  readonly startsAtMs: number
  readonly timer: NodeJS.Timeout
}

/**
 * Begins announced windows when their time has come, whichever process announced them. Windows announced by
 * this process begin first.
 */
export class DueWindows {
  readonly #begin: Begin
  /** The windows announced here that no call waits for, and whether each was already seen as announced. */
  readonly #own = new Map<string, boolean>()
  readonly #due = new Map<string, Due>()
  /** The windows that this process is beginning now. */
  readonly #underWay = new Set<string>()

  constructor(begin: Begin) {
    this.#begin = begin
  }

  /** Records that this process announces a window, and so begins it without leaving it to others. */
  own(id: string): void {
    this.#own.set(id, false)
  }

  /** Updates the timers from the windows that are announced now. */
  read({ windows, readAt }: Pick<StampedState, "windows" | "readAt">): void {
    const announced = new Map(windows.filter(isAnnounced).map((window) => [window.id, window]))
    for (const [id, isSeen] of this.#own) {
      if (announced.has(id)) this.#own.set(id, true)
      else if (isSeen) this.#own.delete(id)
    }
    for (const [id, { startsAtMs }] of this.#due) {
      if (announced.get(id)?.startsAt.getTime() !== startsAtMs) this.#forget(id)
    }
    const elapsedMs = performance.now() - readAt
    for (const window of announced.values()) this.#expect(window, elapsedMs)
  }

  /** Stops all timers. Windows are scheduled again when a state that announces them is read. */
  stop(): void {
    for (const id of this.#due.keys()) this.#forget(id)
  }

  #expect({ id, startsAt, startsInMs }: AnnouncedWindow, elapsedMs: number): void {
    if (this.#underWay.has(id) || this.#due.has(id)) return
    const leaveMs = this.#own.has(id) ? 0 : leaveToOthersMs + Math.random() * spreadMs
    this.#later(id, startsAt.getTime(), Math.max(0, startsInMs - elapsedMs) + leaveMs)
  }

  #later(id: string, startsAtMs: number, waitMs: number): void {
    if (waitMs > furthestMs) return
    const timer = setTimeout(() => void this.#beginNow(id, startsAtMs), waitMs).unref()
    this.#due.set(id, { startsAtMs, timer })
  }

  #forget(id: string): void {
    clearTimeout(this.#due.get(id)?.timer)
    this.#due.delete(id)
  }

  async #beginNow(id: string, startsAtMs: number): Promise<void> {
    this.#due.delete(id)
    this.#underWay.add(id)
    // A window that cannot begin now is tried again at the next read of the state.
    const leftMs = await this.#begin(id).catch(() => undefined)
    this.#underWay.delete(id)
    if (leftMs !== undefined) this.#later(id, startsAtMs, leftMs)
  }
}
