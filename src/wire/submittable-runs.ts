import { AccompaniedSubmittable } from "./accompanied-submittable"
import type { Escort } from "./escort"
import type { Passage } from "./seal"
import type { Submittable, WireClient } from "./protocol"

/** The parts needed to run a submittable. */
export interface SubmittableRunParts {
  /** pg's own `query`. */
  readonly query: WireClient["query"]
  readonly passage: Passage
  /** Resolves when the server has answered everything that was sent, or never will. */
  ready(): Promise<void>
  /** Makes the error for a submittable that pg did not send, by its text. The connection is closed. */
  notSent(text: string | undefined): Error
}

/** Runs the caller's submittables. The server may have more answers as long as the caller asks for them. */
export class SubmittableRuns {
  readonly #parts: SubmittableRunParts
  #running: AccompaniedSubmittable | undefined

  constructor(parts: SubmittableRunParts) {
    this.#parts = parts
  }

  /** Whether a submittable runs. It may not end before the caller ends it. */
  get isActive(): boolean {
    return this.#running !== undefined
  }

  /** Whether it is about to end: it waits for the server's last answer. */
  get isEnding(): boolean {
    return this.#running?.isEnding === true
  }

  /** Hands a submittable to pg; resolves when the server has finished it. */
  async run(query: Submittable, escort: Escort): Promise<void> {
    const { query: send, passage, ready, notSent } = this.#parts
    const translate = (error: Error, isOfStep: boolean) => {
      this.#running = undefined
      return escort.translate?.(error, isOfStep) ?? error
    }
    const accompanied = new AccompaniedSubmittable(query, { ...escort, translate }, passage)
    this.#running = accompanied
    try {
      // A promise comes from code that patches pg's client.
      await Promise.resolve(send(accompanied)).catch(() => undefined)
      await Promise.race([ready(), accompanied.refused])
      await ready()
      // In pipeline mode, pg reports a tick later why it does not send it.
      if (!accompanied.isTaken) await new Promise(setImmediate)
      if (!accompanied.isTaken) accompanied.handleError(notSent(query.text))
      await accompanied.conclude()
    } finally {
      this.#running = undefined
    }
  }
}
