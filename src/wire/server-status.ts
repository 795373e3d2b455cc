import type { TransactionStatus, WireClient } from "./protocol"

/** What the server has said of a connection: its transaction status, and whether it is ready for the next statement. */
export class ServerStatus {
  readonly #raw: WireClient
  readonly #events: { readonly unasked: () => void; readonly bound: () => void }
  #status: TransactionStatus
  #isKnown: boolean
  #isEnded = false
  readonly #onReady = ({ status }: { status: TransactionStatus }) => {
    // Nobody asked for this: what belongs to what is not certain any more.
    if (this.#raw.readyForQuery) this.#events.unasked()
    this.#status = status
  }
  readonly #onBound = () => this.#events.bound()
  readonly #onEnd = () => (this.#isEnded = true)

  /**
   * `isNew` if nobody has had the connection before. `unasked` is called for an answer that nobody has asked for, `bound` for each
   * statement that was bound.
   */
  constructor(
    raw: WireClient,
    isNew: boolean,
    events: { readonly unasked: () => void; readonly bound: () => void },
  ) {
    this.#raw = raw
    this.#events = events
    const told = raw.getTransactionStatus?.()
    this.#status = told ?? "I"
    this.#isKnown = raw.readyForQuery ? Boolean(told) : isNew && !told
    // Before pg's own listener, which calls back and may at once ask for the next statement.
    raw.connection.prependListener("readyForQuery", this.#onReady)
    raw.connection.on("bindComplete", this.#onBound)
    raw.once("end", this.#onEnd)
  }

  /** The transaction status, as the server has it. */
  get current(): TransactionStatus {
    return this.#status
  }

  /** Whether that is what the server has said, and nothing is under way that was sent past this package. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  /** Whether the server will answer no more. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Whether the server has answered all that was sent, or will never. */
  get isReady(): boolean {
    return this.#raw.readyForQuery || this.#isEnded
  }

  /** Takes note that the server has said the status. */
  known(): void {
    this.#isKnown = true
  }

  /** Takes note that the connection is given up. */
  ended(): void {
    this.#isEnded = true
  }

  /** Resolves when the server has answered all that was sent, or will never. */
  async ready(): Promise<void> {
    const { connection } = this.#raw
    while (!this.isReady) {
      await new Promise<void>((resolve) => {
        const done = () => {
          connection.removeListener("readyForQuery", done)
          this.#raw.removeListener("end", done)
          resolve()
        }
        connection.once("readyForQuery", done)
        this.#raw.once("end", done)
      })
    }
  }

  /** Leaves no listener on the client. */
  dispose(): void {
    this.#raw.connection.removeListener("readyForQuery", this.#onReady)
    this.#raw.connection.removeListener("bindComplete", this.#onBound)
    this.#raw.removeListener("end", this.#onEnd)
  }
}
