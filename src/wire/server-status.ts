import type { TransactionStatus, WireClient } from "./protocol"

/**
 * The server's last report on a connection: its transaction status, and whether it is ready for the next
 * statement.
 */
export class ServerStatus {
  readonly #raw: WireClient
  readonly #events: { readonly unasked: () => void; readonly bound: () => void }
  #status: TransactionStatus
  #isKnown: boolean
  #isEnded = false
  readonly #onReady = ({ status }: { status: TransactionStatus }) => {
    // An unrequested answer: answers can no longer be matched to requests.
    if (this.#raw.readyForQuery) this.#events.unasked()
    this.#status = status
  }
  readonly #onBound = () => this.#events.bound()
  readonly #onEnd = () => (this.#isEnded = true)

  /**
   * `isNew` tells that the connection was not used before. `unasked` is called for an unrequested answer,
   * `bound` for each statement that was bound.
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
    // Before pg's own listener, which calls back and may request the next statement at once.
    raw.connection.prependListener("readyForQuery", this.#onReady)
    raw.connection.on("bindComplete", this.#onBound)
    raw.once("end", this.#onEnd)
  }

  /** The transaction status on the server. */
  get current(): TransactionStatus {
    return this.#status
  }

  /** Whether the server has reported that status, and no statement sent past this package is in progress. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  /** Whether the server will send no further answers. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Whether the server has answered everything that was sent, or never will. */
  get isReady(): boolean {
    return this.#raw.readyForQuery || this.#isEnded
  }

  /** Records that the server has reported the status. */
  known(): void {
    this.#isKnown = true
  }

  /** Records that the connection is given up. */
  ended(): void {
    this.#isEnded = true
  }

  /** Resolves when the server has answered everything that was sent, or never will. */
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

  /** Removes all listeners from the client. */
  dispose(): void {
    this.#raw.connection.removeListener("readyForQuery", this.#onReady)
    this.#raw.connection.removeListener("bindComplete", this.#onBound)
    this.#raw.removeListener("end", this.#onEnd)
  }
}
