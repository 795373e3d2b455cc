import type { Actor } from "../mode/actor"
import { restrictionOf } from "../mode/restriction"
import type { MaintenanceStatus } from "../mode/status"
import { describeWindow, noSlot } from "../refusal"
import { destroyed } from "../state/destroyed"
import type { StateView } from "../watch/state-view"
import { WaitQueue } from "./wait-queue"
import type { WaitingReason } from "./waiting-notice"

/** The facts that reader slots need of their owner. */
export interface ReaderSlotsOwner {
  /** The users of the lent connections, one entry a connection; undefined for one that has run nothing yet. */
  lent(): Iterable<Actor | undefined>
  /** Maximum wait for a connection in milliseconds; 0 means no limit. */
  timeoutMs(): number
}

/**
 * Limits the number of connections that other users have at a time, where a window says so (`readers`). Further
 * calls wait, and get a connection in the order in which they came. It goes by the last state, even if that may be
 * outdated: otherwise all calls would be admitted during a brief doubt.
 */
export class ReaderSlots {
  readonly #state: StateView
  readonly #owner: ReaderSlotsOwner
  readonly #queue = new WaitQueue<{ readonly actor: Actor }>(() => this.#reason())
  /** The users of admitted calls that have no connection yet. */
  readonly #comingIn = new Set<Actor>()

  constructor(state: StateView, owner: ReaderSlotsOwner) {
    this.#state = state
    this.#owner = owner
    state.onChange(() => this.letIn())
  }

  /** Whether there is a limit. */
  get isLimited(): boolean {
    return this.#state.latest?.readers !== undefined
  }

  /**
   * Resolves when the actor may take a connection. The caller calls the result when it has the connection, or
   * failed to get one. Rejects with an AccessRefusedError after the time in which the pool must lend a
   * connection.
   */
  slot(actor: Actor): Promise<() => void> {
    const timeoutMs = this.#owner.timeoutMs()
    const admitted = this.#queue.wait(
      { actor },
      {
        timeoutMs: timeoutMs > 0 ? timeoutMs : undefined,
        expired: () => noSlot(this.#state.latest ?? {}, timeoutMs),
        admitted: () => this.#comeIn(actor),
      },
    )
    this.letIn()
    return admitted
  }

  /** Admits the calls for which there are slots, after a connection was given back or the state has changed. */
  letIn(): void {
    if (this.#queue.size === 0) return
    const status = this.#state.latest
    let free = this.#freeSlots(status)
    for (const call of this.#queue) {
      const needsSlot = status !== undefined && restrictionOf(status, call.actor) !== "none"
      if (needsSlot && free <= 0) continue
      if (needsSlot) free--
      this.#queue.admit(call)
    }
  }

  /** Rejects all waiting calls. */
  close(): void {
    const error = destroyed(" while this call waited for a connection")
    for (const call of this.#queue) this.#queue.reject(call, error)
  }

  #comeIn(actor: Actor): () => void {
    const comingIn = { ...actor }
    this.#comingIn.add(comingIn)
    return () => void this.#comingIn.delete(comingIn)
  }

  #reason(): WaitingReason | undefined {
    const status = this.#state.latest
    if (status?.readers === undefined) return undefined
    const timeoutMs = this.#owner.timeoutMs()
    return {
      of: String(status.since?.getTime()),
      text:
        `for a connection: the ${status.mode} maintenance ${describeWindow(status)} limits other users to ` +
        `${status.readers} in each instance (readers). ` +
        `${timeoutMs > 0 ? `Each call waits for at most ${timeoutMs} ms. ` : ""}This is reported once.`,
    }
  }

  #freeSlots(status: MaintenanceStatus | undefined): number {
    if (status?.readers === undefined) return Number.POSITIVE_INFINITY
    const users = [...this.#owner.lent(), ...this.#comingIn]
    const taken = users.filter((user) => user && restrictionOf(status, user) !== "none").length
    return status.readers - taken
  }
}
