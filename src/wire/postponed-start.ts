import type { Companions } from "./pipelined-query"
import type { Step } from "./protocol"
import { transactionStart } from "./transaction-start"

/** Options for sending a statement. */
export interface Sending extends Companions {
  /** Whether it is certain to be one statement, as it must be with companions. */
  readonly isOne?: boolean
}

/**
 * The start of a transaction that has begun for the caller, but not yet for the server. It shares a round
 * trip with the next statement.
 */
export class PostponedStart {
  readonly #stepOf: (text: string) => Step
  #postponed: Step | undefined
  /** The start that is sent with the running statement. */
  #starting: Step | undefined

  /** `stepOf` makes a step for a text. */
  constructor(stepOf: (text: string) => Step) {
    this.#stepOf = stepOf
  }

  get isPending(): boolean {
    return this.#postponed !== undefined
  }

  /**
   * Postpones a text that starts a transaction, or sets the modes of one that has not started yet. Returns
   * its command tag; undefined for any other text.
   */
  postpone(text: string): string | undefined {
    const start = transactionStart(text, this.isPending)
    if (!start) return undefined
    this.#postponed = this.#stepOf(`${this.#postponed?.text ?? "START TRANSACTION"} ${start.modes}`.trimEnd())
    return start.tag
  }

  /** Removes the postponed start and returns it. */
  take(): Step | undefined {
    const postponed = this.#postponed
    this.#postponed = undefined
    return postponed
  }

  /** Whether it cannot share a round trip with this statement. */
  isApartFrom(sending: Sending): boolean {
    return this.isPending && !sending.isOne && !isAccompanied(sending)
  }

  /** Returns the companions of a statement, with the postponed start before them. */
  with(sending: Sending): Companions | undefined {
    const postponed = this.take()
    this.#starting = postponed
    if (!postponed) return isAccompanied(sending) ? sending : undefined
    return { ...sending, before: [postponed, ...(sending.before ?? [])] }
  }

  /**
   * Postpones the start again if pg has rejected its statement: the transaction then begins with the next
   * one.
   */
  notSent(start: Step | undefined): void {
    if (start && start === this.#starting) this.#postponed = start
  }
}

/** Whether a statement uses the extended protocol, even with empty companions. */
function isAccompanied({ before, after, as }: Companions): boolean {
  return before !== undefined || after !== undefined || as !== undefined
}
