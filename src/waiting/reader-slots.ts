import type { Actor } from "../mode/actor"
import { restrictionOf } from "../mode/restriction"
import type { MaintenanceStatus } from "../mode/status"
import { destroyed } from "../state/destroyed"
import { describeWindow, noPlace } from "../refusal"
import { type Said, WaitingNotice } from "./waiting-notice"

/** What it asks. */
export interface PlacesOwner {
  /** The state, as it was read last. */
  latest(): MaintenanceStatus | undefined
  /** The actors that have a connection now, each as often as it has one; undefined for who has run nothing yet. */
  lent(): Iterable<Actor | undefined>
  /** How many milliseconds one waits for a connection at most; 0 for as long as it takes. */
  timeoutMs(): number
}

interface Waiting {
  readonly actor: Actor
  letIn(): void
  giveUp(error: Error): void
}

/**
 * Bounds how many connections others than the maintainer use, where a window says so (`readers`): who asks for one more waits, and
 * gets it in the order of asking.
 */
export class ReaderSlots {
  readonly #owner: PlacesOwner
  /** In the order of asking. */
  readonly #waiting = new Set<Waiting>()
  /** Who was let in, and has no connection yet. */
  readonly #comingIn = new Set<Actor>()
  readonly #notice = new WaitingNotice<Waiting>(() => this.#said())

  constructor(owner: PlacesOwner) {
    this.#owner = owner
  }

  /** Whether there is a bound at all. */
  get isBounded(): boolean {
    return this.#owner.latest()?.readers !== undefined
  }

  /**
   * Resolves when the actor may take a connection, with what is to be called when it has one, or got none. Rejects with an
   * AccessRefusedError after the time in which the pool must give a connection.
   */
  place(actor: Actor): Promise<() => void> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined
      const waiting: Waiting = {
        actor,
        letIn: () => {
          leave()
          const comingIn = { ...actor }
          this.#comingIn.add(comingIn)
          resolve(() => void this.#comingIn.delete(comingIn))
        },
        giveUp: (error) => {
          leave()
          reject(error)
        },
      }
      const leave = () => {
        clearTimeout(timer)
        this.#waiting.delete(waiting)
        this.#notice.end(waiting)
      }
      const timeoutMs = this.#owner.timeoutMs()
      if (timeoutMs > 0) {
        timer = setTimeout(() => waiting.giveUp(noPlace(this.#owner.latest() ?? {}, timeoutMs)), timeoutMs)
      }
      this.#waiting.add(waiting)
      this.#notice.begin(waiting)
      this.letIn()
    })
  }

  /** A connection was given back, or the state has changed: lets in whoever may. */
  letIn(): void {
    if (this.#waiting.size === 0) return
    const status = this.#owner.latest()
    let free = this.#freePlaces(status)
    for (const waiting of this.#waiting) {
      const isOther = status !== undefined && restrictionOf(status, waiting.actor) !== "none"
      if (isOther && free <= 0) continue
      if (isOther) free--
      waiting.letIn()
    }
  }

  /** Ends the waiting of all. */
  close(): void {
    const error = destroyed(" while this waited for a connection")
    for (const { giveUp } of this.#waiting) giveUp(error)
  }

  #said(): Said | undefined {
    const status = this.#owner.latest()
    if (status?.readers === undefined) return undefined
    const timeoutMs = this.#owner.timeoutMs()
    return {
      of: String(status.since?.getTime()),
      text:
        `for one of the connections, of which the ${status.mode} maintenance ${describeWindow(status)} leaves ` +
        `${status.readers} of each process to others (readers), ${timeoutMs > 0 ? `for ${timeoutMs} ms each at most, ` : ""}` +
        "and later ones will, too.",
    }
  }

  /** How many connections others may have besides those that they have. */
  #freePlaces(status: MaintenanceStatus | undefined): number {
    if (status?.readers === undefined) return Number.POSITIVE_INFINITY
    const users = [...this.#owner.lent(), ...this.#comingIn]
    return status.readers - users.filter((user) => user && restrictionOf(status, user) !== "none").length
  }
}
