/** What turns need of their session. */
export interface TurnOwner {
  /** Whether the server has answered all that was sent, or will never. */
  readonly isReady: boolean
  /** Resolves when it has. */
  ready(): Promise<void>
  /** Called when the server is ready after each turn; what it returns is waited for before the next. */
  settle(): Promise<void> | undefined
  /** Something to be done before a turn begins; nothing mostly. */
  before(): Promise<void> | undefined
}

/** Lets one call after the other use a connection: the next begins when the server is ready, and the owner has settled. */
export class Turns {
  readonly #owner: TurnOwner
  readonly #waiting: (() => void)[] = []
  #isTaken = false
  /** Whether a turn is just being begun: then it can be left to its one statement to end it. */
  #isBeginning = false
  #endsItself = false

  constructor(owner: TurnOwner) {
    this.#owner = owner
  }

  /** Whether something runs, or waits for its turn. */
  get isBusy(): boolean {
    return this.#isTaken
  }

  /** Runs the work when all that was asked for before is done, at once if nothing is. */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isTaken)
      return new Promise<void>((next) => this.#waiting.push(next)).then(() => this.#take(work))
    return this.#take(work)
  }

  /** Leaves it to the caller to end this turn by `done` or `failed`, which saves a promise; returns false if it is too late for that. */
  leaveOpen(): boolean {
    this.#endsItself = this.#isBeginning
    return this.#isBeginning
  }

  /** Ends the turn, and hands a result on. */
  readonly done = <T>(value: T): T | Promise<T> => {
    const settled = this.#end()
    // Whoever gives the connection back now is to give it back at once, for the next to find it.
    return settled ? settled.then(() => value) : value
  }

  /** Ends the turn, and throws the error. */
  readonly failed = (error: unknown): never => {
    // Not kept back: the server may still be at work (query_timeout).
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
    // In one chain, and not as a second reaction: V8 follows no more than one to tell the caller's stack.
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
