import type { Actor } from "../mode/actor"
import { restrictionOf } from "../mode/restriction"
import type { MaintenanceStatus } from "../mode/status"
import { accessRefused, describeWindow, factsOf, notLetIn } from "../refusal"
import { destroyed } from "../state/destroyed"
import type { StateView } from "../watch/state-view"
import { WaitQueue } from "./wait-queue"
import type { WaitingReason } from "./waiting-notice"

/** Limits of the waiting room. */
export interface WaitingRoomOptions {
  readonly maxWaitMs: number
  readonly maxWaiting: number
}

/** The owner of a waiting room, which reports its refusals. */
export interface WaitingRoomOwner {
  /** Reports a refusal; returns it. */
  refused(error: unknown): unknown
  /** Reports a refusal, and rejects with it, for a call that did not wait. */
  refuse(error: unknown): Promise<never>
}

/** Time between two admitted calls after a window, in milliseconds, so that not all begin at once. */
const betweenMs = 5
/** Time within which all calls are admitted after a window, in milliseconds. */
const releaseWithinMs = 1000

/**
 * Calls that wait for the end of a window before they take a connection (`onRefused: "wait"`). It admits calls by
 * the expected state, which may be late: the fence checks an admitted call like any other.
 */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions
  readonly #state: StateView
  readonly #owner: WaitingRoomOwner
  readonly #queue = new WaitQueue<{ readonly actor: Actor }>(({ actor }) => this.#reason(actor))
  #next: NodeJS.Timeout | undefined

  constructor(options: WaitingRoomOptions, state: StateView, owner: WaitingRoomOwner) {
    this.#options = options
    this.#state = state
    this.#owner = owner
    state.onChange(() => this.#changed())
  }

  /**
   * Resolves when no window restricts the actor; returns undefined if none does, or if the state is not known.
   * Rejects with the refusal.
   */
  admission(actor: Actor): Promise<void> | undefined {
    const restricting = this.#restricting(actor)
    if (!restricting) return undefined
    const { maxWaiting, maxWaitMs } = this.#options
    if (this.#queue.size >= maxWaiting) {
      return this.#owner.refuse(
        refusalOf(
          restricting,
          `the maximum number of calls already waits for its end (maxWaiting: ${maxWaiting})`,
        ),
      )
    }
    return this.#queue.wait(
      { actor },
      {
        timeoutMs: maxWaitMs,
        expired: () => this.#refusal(actor, `this call has waited ${maxWaitMs} ms for its end (maxWaitMs)`),
        admitted: () => undefined,
      },
    )
  }

  /** Ends all waits. */
  close(): void {
    clearTimeout(this.#next)
    for (const call of this.#queue) {
      const isRestricted = this.#restricting(call.actor) !== undefined
      if (isRestricted)
        this.#queue.reject(call, destroyed(" while this call was waiting for the end of the maintenance"))
      else this.#queue.admit(call)
    }
  }

  /** Admits the calls that no window restricts, in their order, when the state has changed or is not known. */
  #changed(): void {
    clearTimeout(this.#next)
    const free = [...this.#queue].filter(({ actor }) => !this.#restricting(actor)).length
    if (free > 0) this.#letIn(Math.ceil((free * betweenMs) / releaseWithinMs))
  }

  #reason(actor: Actor): WaitingReason | undefined {
    const status = this.#restricting(actor)
    return (
      status && {
        of: String(status.since?.getTime()),
        text:
          `for the end of the ${status.mode} maintenance ${describeWindow(status)} (onRefused: "wait"). ` +
          `Each call waits for at most ${this.#options.maxWaitMs} ms. This is reported once.`,
      }
    )
  }

  #letIn(atOnce: number): void {
    const free = [...this.#queue].filter(({ actor }) => !this.#restricting(actor))
    for (const call of free.slice(0, atOnce)) this.#queue.admit(call)
    if (free.length > 0) this.#next = setTimeout(() => this.#letIn(atOnce), betweenMs)
  }

  /** The state that restricts the actor, if it does. */
  #restricting(actor: Actor): MaintenanceStatus | undefined {
    const status = this.#state.expected
    return status && restrictionOf(status, actor) !== "none" ? status : undefined
  }

  /** Makes and reports the refusal of an actor whom a window restricts. */
  #refusal(actor: Actor, why: string): Error | undefined {
    const status = this.#restricting(actor)
    return status && (this.#owner.refused(refusalOf(status, why)) as Error)
  }
}

function refusalOf(status: MaintenanceStatus, why: string): Error {
  return (status.mode === "exclusive" ? accessRefused : notLetIn)(factsOf(status), why)
}
