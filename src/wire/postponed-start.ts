import type { Companions } from "./pipelined-query"
import type { Step } from "./protocol"
import { transactionStart } from "./transaction-start"

/** How a statement is sent. */
export interface Sending extends Companions {
  /** Whether it is certain to be one statement; with companions it has to be. */
  readonly isOne?: boolean
}

/** The start of a transaction that has begun for the caller, but not yet for the server: it shares a round trip with what is sent next. */
export class PostponedStart {
  readonly #stepOf: (text: string) => Step
  #postponed: Step | undefined
  /** The start that is sent with the statement that runs. */
  #starting: Step | undefined

  /** `stepOf` makes a step for a text. */
  constructor(stepOf: (text: string) => Step) {
    this.#stepOf = stepOf
  }

  get isPending(): boolean {
    return this.#postponed !== undefined
  }

  /** Postpones a text that starts a transaction, or sets up one not started yet; returns its command tag, or undefined for another text. */
  postpone(text: string): string | undefined {
    const start = transactionStart(text, this.isPending)
    if (!start) return undefined
    this.#postponed = this.#stepOf(`${this.#postponed?.text ?? "START TRANSACTION"} ${start.modes}`.trimEnd())
    return start.tag
  }

  /** Forgets it; returns what it was. */
  take(): Step | undefined {
    const postponed = this.#postponed
    this.#postponed = undefined
    return postponed
  }

  /** Whether it cannot share a round trip with what is sent. */
  isApartFrom(sending: Sending): boolean {
    return this.isPending && !sending.isOne && !isAccompanied(sending)
  }

  /** The companions of a statement, with the postponed start before them. */
  with(sending: Sending): Companions | undefined {
    const postponed = this.take()
    this.#starting = postponed
    if (!postponed) return isAccompanied(sending) ? sending : undefined
    return { ...sending, before: [postponed, ...(sending.before ?? [])] }
  }

  /** Takes note that pg has refused a statement: the transaction that it was to start begins with the next. */
  notSent(start: Step | undefined): void {
    if (start && start === this.#starting) this.#postponed = start
  }
}

/** Whether a statement is to be sent by the extended protocol, even with no companions. */
function isAccompanied({ before, after, as }: Companions): boolean {
  return before !== undefined || after !== undefined || as !== undefined
}
