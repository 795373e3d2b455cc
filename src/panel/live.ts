import { type MaintenanceControl, StateUnavailableError } from "../index"
import type { Sight, SightReader } from "./sight"
import { warn } from "./warn"

/** Time between two readings while somebody looks, in milliseconds. */
const everyMs = 5000
/** The same while a window is being entered. */
const whileEnteringMs = 1000

/** The reason why there is no reading, for the page. */
export interface Unread {
  readonly why: string
}

/** Receives each reading. */
export type Follower = (sight: Sight | Unread) => void

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
  /** The failure that was reported last. */
  #warnedOf: string | undefined
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
    const sight = await this.#reader.read().catch((error: unknown) => this.#unread(error))
    this.#last = "why" in sight ? undefined : sight
    for (const listener of this.#listeners) listener(sight)
  }

  /** The page stays as it is, and says so. */
  #unread(error: unknown): Unread {
    if (error instanceof StateUnavailableError) return { why: "The database does not answer." }
    // Once for each reason, not with each reading.
    const reason = String(error)
    if (reason !== this.#warnedOf) warn(error)
    this.#warnedOf = reason
    return { why: "The state cannot be read. Reload the page for the reason." }
  }

  #later(): void {
    if (this.#listeners.size === 0) return
    const isEntering = this.#last?.report.state === "entering"
    this.#next = setTimeout(() => this.refresh(), isEntering ? whileEnteringMs : everyMs).unref()
  }
}
