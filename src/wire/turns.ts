/** The parts of their session that turns need. */
export interface TurnOwner {
  /** Whether the server has answered everything that was sent, or never will. */
  readonly isReady: boolean
  /** Resolves when `isReady` is true. */
  ready(): Promise<void>
  /** Called when the server is ready after each turn. The next turn waits for the promise it returns. */
  settle(): Promise<void> | undefined
  /** Called before a turn begins, which waits for the promise it returns; usually there is none. */
  before(): Promise<void> | undefined
}

/**
 * Lets one call after another use a connection. The next begins when the server is ready and the owner has
 * settled.
 */
export class Turns {
  readonly #owner: TurnOwner
  readonly #waiting: (() => void)[] = []
  #isTaken = false
  /** Whether a turn is just beginning: only then can its one statement be left to end it. */
  #isBeginning = false
  #endsItself = false

  constructor(owner: TurnOwner) {
    this.#owner = owner
  }

  /** Whether something runs, or waits for its turn. */
  get isBusy(): boolean {
    return this.#isTaken
  }

  /** Runs the work after everything requested before; at once if there is nothing. */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isTaken)
      return new Promise<void>((next) => this.#waiting.push(next)).then(() => this.#take(work))
    return this.#take(work)
  }

  /**
   * Leaves it to the caller to end this turn by `done` or `failed`, which saves a promise. Returns false if
   * it is too late for that.
   */
  leaveOpen(): boolean {
    this.#endsItself = this.#isBeginning
    return this.#isBeginning
  }

  /** Ends the turn and passes on the result. */
  readonly done = <T>(value: T): T | Promise<T> => {
    const settled = this.#end()
    // A caller that releases the connection now must do so at once, so that the next one finds it.
    return settled ? settled.then(() => value) : value
  }

  /** Ends the turn and throws the error. */
  readonly failed = (error: unknown): never => {
    // Not awaited: the server may still be at work (query_timeout).
    void this.#end()
    throw error
  }

  #take<T>(work: () => Promise<T>): Promise<T> {
    this.#isTaken = true
    this.#endsItself = false
    const before = this.#owner.before()
    this.#isBeginning = before === undefined
    let result: Promise<T>
    try {
      result = before === undefined ? work() : before.then(work)
    } catch (error) {
      result = Promise.reject(error)
    }
    this.#isBeginning = false
    if (this.#endsItself) return result
    // In one chain, not as a second reaction: V8 follows only one to build the caller's stack.
    return result.then(this.done, this.failed)
  }

  #end(): Promise<void> | undefined {
    const { isReady } = this.#owner
    const settled = isReady ? this.#owner.settle() : this.#owner.ready().then(() => this.#owner.settle())
    if (settled) return settled.then(this.#next, this.#next)
    this.#next()
    return undefined
  }

  readonly #next = (): void => {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#isTaken = false
  }
}
