import { type AnnouncedWindow, isAnnounced } from "../mode/window"
import type { StampedState } from "../mode/status"

/** How long a process that did not announce a window leaves its beginning to the one that did, in milliseconds. */
const leaveToOthersMs = 1000
/** Within what time after that the processes try to begin it, so that they do not all at once. */
const spreadMs = 1000
/** What is further away is looked at when the state is read the next time. */
const furthestMs = 60_000

/** Begins a window; resolves with in how many milliseconds it is to be begun, if it was too early. */
export type Begin = (id: string) => Promise<number | undefined>

/** When this process begins a window, unless another does before. */
interface Due {
  readonly startsAtMs: number
  readonly timer: NodeJS.Timeout
}

/** Begins windows that were announced, by whichever process, when their time has come: those of this process first. */
export class DueWindows {
  readonly #begin: Begin
  /** The windows that this process has announced and no call waits for, and whether they were seen to be announced. */
  readonly #own = new Map<string, boolean>()
  readonly #due = new Map<string, Due>()
  /** The windows whose beginning is under way here. */
  readonly #underWay = new Set<string>()

  constructor(begin: Begin) {
    this.#begin = begin
  }

  /** Says that this process announces a window, so that it begins it without leaving that to others. */
  own(id: string): void {
    this.#own.set(id, false)
  }

  /** Sees what is announced now. */
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

  /** Begins nothing until it sees again what is announced. */
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
    // A window that cannot be begun now is tried again when the state is read the next time.
    const leftMs = await this.#begin(id).catch(() => undefined)
    this.#underWay.delete(id)
    if (leftMs !== undefined) this.#later(id, startsAtMs, leftMs)
  }
}
