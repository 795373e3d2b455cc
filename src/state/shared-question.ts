/** A question in progress, and the next one, if there have been callers meanwhile. */
interface Asking<Answer> {
  readonly answer: Promise<Answer>
  next?: Promise<Answer>
}

/**
 * A question with many callers, asked once at a time. Callers that come meanwhile share the next one, so
 * every answer is newer than the call for it.
 */
export class SharedQuestion<Answer> {
  readonly #ask: () => Promise<Answer>
  #asking: Asking<Answer> | undefined

  constructor(ask: () => Promise<Answer>) {
    this.#ask = ask
  }

  /** Returns the answer to a question that begins after this call. */
  answer(): Promise<Answer> {
    const asking = this.#asking
    if (!asking) return this.#begin()
    const begin = () => this.#begin()
    return (asking.next ??= asking.answer.then(begin, begin))
  }

  #begin(): Promise<Answer> {
    const asking: Asking<Answer> = { answer: this.#ask() }
    this.#asking = asking
    const end = () => {
      if (!asking.next) this.#asking = undefined
    }
    asking.answer.then(end, end)
    return asking.answer
  }
}
