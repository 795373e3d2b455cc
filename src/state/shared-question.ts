/** A question that is under way, and the one that follows it, if somebody has come meanwhile. */
interface Asking<Answer> {
  readonly answer: Promise<Answer>
  next?: Promise<Answer>
}

/**
 * A question that many callers ask: it is under way once at a time. Callers who come meanwhile share the next, so every answer was
 * asked for after the call for it.
 */
export class SharedQuestion<Answer> {
  readonly #ask: () => Promise<Answer>
  #asking: Asking<Answer> | undefined

  constructor(ask: () => Promise<Answer>) {
    this.#ask = ask
  }

  /** The answer to a question that begins from now on. */
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
