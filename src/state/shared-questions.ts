/** A question that is under way, and the one that follows it, if somebody has come meanwhile. */
interface Question<Answer> {
  readonly answer: Promise<Answer>
  next?: Promise<Answer>
}

/**
 * Asks for many callers at once: of each kind one question is under way at a time. Callers who come meanwhile share the next
 * question, so every answer was asked for after the call for it.
 */
export class SharedQuestions<Answer> {
  readonly #questions = new Map<string, Question<Answer>>()

  /** The answer to a question of this kind that begins from now on. */
  ask(kind: string, ask: () => Promise<Answer>): Promise<Answer> {
    const question = this.#questions.get(kind)
    if (!question) return this.#begin(kind, ask)
    const begin = () => this.#begin(kind, ask)
    return (question.next ??= question.answer.then(begin, begin))
  }

  #begin(kind: string, ask: () => Promise<Answer>): Promise<Answer> {
    const question: Question<Answer> = { answer: ask() }
    this.#questions.set(kind, question)
    const end = () => void (question.next || this.#questions.delete(kind))
    question.answer.then(end, end)
    return question.answer
  }
}
