import { AccompaniedQuery, type Escort } from "./accompanied-query"
import type { Passage } from "./seal"
import type { ForeignQuery, WireClient } from "./protocol"

/** What running a query object takes. */
export interface ForeignRunParts {
  /** pg's own `query`. */
  readonly query: WireClient["query"]
  readonly passage: Passage
  /** Resolves when the server has answered all that was sent, or will never. */
  ready(): Promise<void>
  /** The error for a query object that pg did not send, by its text; the connection is closed. */
  notSent(text: string | undefined): Error
}

/** Runs query objects of the caller, of which the server may answer more as long as the caller asks. */
export class ForeignRuns {
  readonly #parts: ForeignRunParts
  #running: AccompaniedQuery | undefined

  constructor(parts: ForeignRunParts) {
    this.#parts = parts
  }

  /** Whether one runs, which may not end before the caller has it end. */
  get isActive(): boolean {
    return this.#running !== undefined
  }

  /** Whether it is about to end: it waits for the server's last answer. */
  get isEnding(): boolean {
    return this.#running?.isEnding === true
  }

  /** Hands a query object to pg; resolves when the server is done with it. */
  async run(query: ForeignQuery, escort: Escort): Promise<void> {
    const { query: send, passage, ready, notSent } = this.#parts
    const translate = (error: Error, isOfStep: boolean) => {
      this.#running = undefined
      return escort.translate?.(error, isOfStep) ?? error
    }
    const accompanied = new AccompaniedQuery(query, { ...escort, translate }, passage)
    this.#running = accompanied
    try {
      // A promise is that of something that pg's client was patched with.
      await Promise.resolve(send(accompanied)).catch(() => undefined)
      await Promise.race([ready(), accompanied.refused])
      await ready()
      // pg says a tick later why it does not send it, as in its pipeline mode.
      if (!accompanied.isTaken) await new Promise(setImmediate)
      if (!accompanied.isTaken) accompanied.handleError(notSent(query.text))
      await accompanied.conclude()
    } finally {
      this.#running = undefined
    }
  }
}
