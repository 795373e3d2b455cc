import { type Actor, isAdmitted, type MaintenanceStatus } from "../mode/mode"
import { accessRefused, describeWindow, factsOf, notLetIn } from "../state/refusal"

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
/** How long somebody waits before it is said, once in a window, that there are such. */
const sayAfterMs = 5000

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
  #saying: NodeJS.Timeout | undefined
  /** The window of which it was said that it is waited for. */
  #saidOf: Date | undefined

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
        this.#sayNothing()
        const status = this.#restriction(actor)
        if (status) reject(this.#refusal(status, `Waited ${maxWaitMs} ms for the end of it.`))
        else resolve()
      }, maxWaitMs)
      this.#waiting.push(waiting)
      this.#saying ??= setTimeout(() => this.#say(), sayAfterMs).unref()
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
    const why =
      "The DataSource was destroyed, or maintenance mode uninstalled, while this waited for the end of it."
    for (const { actor, release, giveUp } of this.#waiting.splice(0)) {
      const status = this.#restriction(actor)
      if (status) giveUp(this.#refusal(status, why))
      else release()
    }
    this.#sayNothing()
  }

  /** Says in a process warning that somebody waits, and for what: the log would be silent else. */
  #say(): void {
    this.#saying = undefined
    const [first] = this.#waiting
    const status = first && this.#restriction(first.actor)
    if (!status || status.since?.getTime() === this.#saidOf?.getTime()) return
    this.#saidOf = status.since
    const count = this.#waiting.length
    process.emitWarning(
      `${count} call${count === 1 ? " waits" : "s wait"} for the end of the ${status.mode} maintenance ${describeWindow(status)}, ` +
        `for ${this.#options.maxWaitMs} ms each at most, and so do those that come (onRefused: "wait").`,
      "MaintenanceWarning",
    )
  }

  #letIn(atOnce: number): void {
    for (let count = 0; count < atOnce; count++) {
      const index = this.#waiting.findIndex((waiting) => waiting.release())
      if (index === -1) return
      this.#waiting.splice(index, 1)
      this.#sayNothing()
    }
    this.#next = setTimeout(() => this.#letIn(atOnce), betweenMs)
  }

  /** Nothing is to be said any more, if nobody waits. */
  #sayNothing(): void {
    if (this.#waiting.length > 0) return
    clearTimeout(this.#saying)
    this.#saying = undefined
  }

  /** The state that restricts the actor, if it does. */
  #restriction(actor: Actor): MaintenanceStatus | undefined {
    const status = this.#known()
    return status && !isAdmitted(status, actor) ? status : undefined
  }

  #refusal(status: MaintenanceStatus, why: string): Error {
    const refusal = (status.mode === "exclusive" ? accessRefused : notLetIn)(factsOf(status), why)
    this.#refused(refusal)
    return refusal
  }
}
