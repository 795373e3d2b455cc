/** The announced windows whose beginning a call here waits for. */
export class AwaitedWindows {
  readonly #ids = new Set<string>()
  readonly #takeBack: (ids: readonly string[]) => Promise<void>
  #hasLapsed = true

  /** `takeBack` takes windows back that no call waits for any longer. */
  constructor(takeBack: (ids: readonly string[]) => Promise<void>) {
    this.#takeBack = takeBack
  }

  /** Takes note of a call that waits for the beginning of a window that it has announced; returns the undo. */
  add(id: string): () => void {
    this.#ids.add(id)
    return () => void this.#ids.delete(id)
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0
  }

  /** Whether what calls here were waiting for was taken back. */
  get hasLapsed(): boolean {
    return this.#hasLapsed
  }

  /** Takes note that nothing needs to be taken back. */
  nothingLapses(): void {
    this.#hasLapsed = true
  }

  /** Takes back what calls here wait for, because they do not any longer. */
  async lapse(): Promise<void> {
    if (this.isEmpty) return
    this.#hasLapsed = false
    await this.#takeBack([...this.#ids])
    this.#hasLapsed = true
  }
}
