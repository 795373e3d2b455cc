/** The announced windows whose start a call in this process waits for. */
export class AwaitedWindows {
  readonly #ids = new Set<string>()
  readonly #cancelAnnounced: (ids: readonly string[]) => Promise<void>
  #hasLapsed = true

  /** `cancel` cancels windows that no call waits for any longer. */
  constructor(cancel: (ids: readonly string[]) => Promise<void>) {
    this.#cancelAnnounced = cancel
  }

  /** Records a call that waits for the start of the window it has announced. Returns the undo. */
  add(id: string): () => void {
    this.#ids.add(id)
    return () => void this.#ids.delete(id)
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0
  }

  /** Whether the windows that calls here were waiting for were taken back. */
  get hasLapsed(): boolean {
    return this.#hasLapsed
  }

  /** Records that there is nothing to take back. */
  nothingLapses(): void {
    this.#hasLapsed = true
  }

  /** Takes back the windows that calls here wait for, because those calls are ending. */
  async lapse(): Promise<void> {
    if (this.isEmpty) return
    this.#hasLapsed = false
    await this.#cancelAnnounced([...this.#ids])
    this.#hasLapsed = true
  }
}
