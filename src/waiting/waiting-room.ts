import type { Actor } from "../mode/actor"
import { restrictionOf } from "../mode/restriction"
import type { MaintenanceStatus } from "../mode/status"
import { accessRefused, describeWindow, factsOf, notLetIn } from "../refusal"
import { type Said, WaitingNotice } from "./waiting-notice"

/** How long, and how many, may wait. */
export interface WaitingRoomOptions {
  readonly maxWaitMs: number
  readonly maxWaiting: number
}

/** Whom it tells of refusals. */
export interface RefusalTeller {
  /** Returns the error, to be thrown. */
  refused(error: unknown): unknown
  /** Rejects with the error of who did not wait. */
  refuse(error: unknown): Promise<never>
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
  readonly #teller: RefusalTeller
  #waiting: Waiting[] = []
  #next: NodeJS.Timeout | undefined
  readonly #notice = new WaitingNotice<Waiting>(({ actor }) => this.#said(actor))

  constructor(
    options: WaitingRoomOptions,
    known: () => MaintenanceStatus | undefined,
    teller: RefusalTeller,
  ) {
    this.#options = options
    this.#known = known
    this.#teller = teller
  }

  /** Resolves when the actor is admitted; undefined if it is, or if it is not known. Rejects with the refusal. */
  admission(actor: Actor): Promise<void> | undefined {
    const restricted = this.#restriction(actor)
    if (!restricted) return undefined
    const { maxWaiting, maxWaitMs } = this.#options
    if (this.#waiting.length >= maxWaiting) {
      return this.#teller.refuse(
        refusalOf(restricted, `as many wait for its end already as may (maxWaiting: ${maxWaiting})`),
      )
    }
    return new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        actor,
        release: () => {
          if (this.#restriction(actor)) return false
          leave()
          resolve()
          return true
        },
        giveUp: (error) => {
          leave()
          reject(error)
        },
      }
      const leave = () => {
        clearTimeout(waiting.timer)
        this.#notice.end(waiting)
      }
      waiting.timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((one) => one !== waiting)
        leave()
        const status = this.#restriction(actor)
        if (status) reject(this.#refusal(status, `waited ${maxWaitMs} ms for its end (maxWaitMs)`))
        else resolve()
      }, maxWaitMs)
      this.#waiting.push(waiting)
      this.#notice.begin(waiting)
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
    const why = "the DataSource was destroyed, or maintenance mode uninstalled, while this waited for its end"
    for (const { actor, release, giveUp } of this.#waiting.splice(0)) {
      const status = this.#restriction(actor)
      if (status) giveUp(this.#refusal(status, why))
      else release()
    }
  }

  #said(actor: Actor): Said | undefined {
    const status = this.#restriction(actor)
    return (
      status && {
        of: String(status.since?.getTime()),
        text:
          `for the end of the ${status.mode} maintenance ${describeWindow(status)}, ` +
          `for ${this.#options.maxWaitMs} ms each at most, and later ones will, too (onRefused: "wait").`,
      }
    )
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
    return status && restrictionOf(status, actor) !== "none" ? status : undefined
  }

  #refusal(status: MaintenanceStatus, why: string): Error {
    return this.#teller.refused(refusalOf(status, why)) as Error
  }
}

function refusalOf(status: MaintenanceStatus, why: string): Error {
  return (status.mode === "exclusive" ? accessRefused : notLetIn)(factsOf(status), why)
}
