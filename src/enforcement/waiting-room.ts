import { MaintenanceSetupError } from "../errors"
import { type Actor, isAdmitted, type MaintenanceStatus } from "../mode/mode"
import { accessRefused, factsOf, writeVetoed } from "../state/refusal"

/** How long, and how many, may wait. */
export interface WaitingRoomOptions {
  readonly maxWaitMs: number
  readonly maxWaiting: number
}

interface Waiting {
  readonly actor: Actor
  /** Lets it in, if it is admitted by now; returns whether it does not wait any more. */
  release(): boolean
  giveUp(error: Error): void
  timer?: NodeJS.Timeout
}

/** How fast those who wait are let in after a window: one after the other, and not all at once. */
const betweenMs = 5
const releaseWithinMs = 1000

/**
 * Where they wait who hold instead of failing, before they take a connection. Who may come in is told by what is known in
 * memory, which may be late: whoever is let in is checked like everybody.
 */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions
  readonly #known: () => MaintenanceStatus | undefined
  readonly #refused: (error: unknown) => unknown
  #waiting: Waiting[] = []
  #next: NodeJS.Timeout | undefined

  constructor(
    options: WaitingRoomOptions,
    known: () => MaintenanceStatus | undefined,
    refused: (error: unknown) => unknown,
  ) {
    this.#options = options
    this.#known = known
    this.#refused = refused
  }

  /** Resolves when the actor is admitted; undefined if it is, or if it is not known. Rejects with the refusal. */
  admission(actor: Actor): Promise<void> | undefined {
    const restricted = this.#restriction(actor)
    if (!restricted) return undefined
    const { maxWaiting, maxWaitMs } = this.#options
    if (this.#waiting.length >= maxWaiting) {
      return Promise.reject(this.#refusal(restricted, `${maxWaiting} are waiting for the end of it already.`))
    }
    return new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        actor,
        release: () => {
          if (this.#restriction(actor)) return false
          clearTimeout(waiting.timer)
          resolve()
          return true
        },
        giveUp: (error) => {
          clearTimeout(waiting.timer)
          reject(error)
        },
      }
      waiting.timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((one) => one !== waiting)
        const status = this.#restriction(actor)
        if (status) reject(this.#refusal(status, `Waited ${maxWaitMs} ms for the end of it.`))
        else resolve()
      }, maxWaitMs)
      this.#waiting.push(waiting)
    })
  }

  /** The state has changed, or is not known any more: lets in whom it does not restrict, in the order in which they came. */
  changed(): void {
    clearTimeout(this.#next)
    const admitted = this.#waiting.filter(({ actor }) => !this.#restriction(actor)).length
    if (admitted > 0) this.#letIn(Math.ceil((admitted * betweenMs) / releaseWithinMs))
  }

  /** Ends the waiting of all. */
  close(): void {
    clearTimeout(this.#next)
    const error = new MaintenanceSetupError(
      "The DataSource was destroyed, or maintenance mode uninstalled, while this waited for the end of a maintenance.",
    )
    for (const { giveUp } of this.#waiting.splice(0)) giveUp(error)
  }

  #letIn(atOnce: number): void {
    for (let count = 0; count < atOnce; count++) {
      const index = this.#waiting.findIndex((waiting) => waiting.release())
      if (index === -1) return
      this.#waiting.splice(index, 1)
    }
    this.#next = setTimeout(() => this.#letIn(atOnce), betweenMs)
  }

  /** The state that restricts the actor, if it does. */
  #restriction(actor: Actor): MaintenanceStatus | undefined {
    const status = this.#known()
    return status && !isAdmitted(status, actor) ? status : undefined
  }

  #refusal(status: MaintenanceStatus, why: string): unknown {
    const facts = factsOf(status)
    return this.#refused(
      status.mode === "exclusive" ? accessRefused(facts, why) : writeVetoed(facts, [], why),
    )
  }
}
