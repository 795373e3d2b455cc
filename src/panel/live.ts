import type { MaintenanceControl } from "../index"
import type { Sight, SightReader } from "./sight"

/** Time between two readings while somebody looks, in milliseconds. */
const everyMs = 5000
/** The same while a window is being entered. */
const whileEnteringMs = 1000

/** Receives each reading; undefined if the database did not answer. */
export type Follower = (sight: Sight | undefined) => void

/**
 * The state that the panel shows, read repeatedly while a page is open. With no page open, no query is sent.
 */
export class LiveSight {
  readonly #reader: SightReader
  readonly #listeners = new Set<Follower>()
  readonly #stopListening: () => void
  #last: Sight | undefined
  #reading: Promise<void> | undefined
  #isOutdated = false
  #next: NodeJS.Timeout | undefined

  constructor(maintenance: MaintenanceControl, reader: SightReader) {
    this.#reader = reader
    this.#stopListening = maintenance.on("change", () => this.refresh())
  }

  /** Adds a listener for each reading; returns the undo. */
  follow(listener: Follower): () => void {
    this.#listeners.add(listener)
    this.refresh()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) clearTimeout(this.#next)
    }
  }

  /** Reads again now, if somebody looks. */
  refresh(): void {
    if (this.#listeners.size === 0) return
    if (this.#reading) {
      this.#isOutdated = true
      return
    }
    clearTimeout(this.#next)
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined
      if (this.#isOutdated) {
        this.#isOutdated = false
        this.refresh()
      } else this.#later()
    })
  }

  /** Stops listening. */
  close(): void {
    this.#stopListening()
    this.#listeners.clear()
    clearTimeout(this.#next)
  }

  async #read(): Promise<void> {
    let sight: Sight | undefined
    try {
      sight = await this.#reader.read()
      this.#last = sight
    } catch {
      // The page stays as it is, and says so.
    }
    for (const listener of this.#listeners) listener(sight)
  }

  #later(): void {
    if (this.#listeners.size === 0) return
    const isEntering = this.#last?.report.state === "entering"
    this.#next = setTimeout(() => this.refresh(), isEntering ? whileEnteringMs : everyMs).unref()
  }
}
