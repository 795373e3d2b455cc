import { type AccessRefusedError, MaintenanceInputError, WriteVetoedError } from "../errors"

const minuteMs = 60_000
/** Maximum number of unreported counts. Beyond it, entities and operations are left out. */
const maxCounts = 1000

/** A row for the function count_refusals(). */
export interface CountedRefusals {
  readonly window_id: string
  /** Minutes since 1970. */
  readonly minute: number
  /** Undefined if the ORM changed nothing. */
  readonly entity: string | undefined
  readonly operation: string | undefined
  /** Number in that minute so far. */
  readonly count: number
}

interface Count extends CountedRefusals {
  count: number
  /** The part of the count that was reported. */
  reported: number
}

/** A refused change, or none. */
type Subject = Pick<CountedRefusals, "entity" | "operation">

/**
 * Counts this process's refusals by window, minute, entity and operation until they are reported. Each report
 * gives the total of a minute, so that nothing counts twice if the answer is lost.
 */
export class RefusalCounts {
  readonly #report: (counts: readonly CountedRefusals[]) => Promise<void>
  readonly #counts = new Map<string, Count>()
  /** Never decreases, even if the clock does: reported counts of a minute are forgotten. */
  #minute = 0

  constructor(report: (counts: readonly CountedRefusals[]) => Promise<void>) {
    this.#report = report
  }

  /**
   * Counts a refusal of a window: each kind of change once, or the refusal itself if the ORM changed nothing.
   */
  count(windowId: string, error: WriteVetoedError | AccessRefusedError): void {
    this.#minute = Math.max(this.#minute, Math.floor(Date.now() / minuteMs))
    const changes = error instanceof WriteVetoedError ? error.changes : []
    for (const change of changes.length > 0 ? changes : [nothing]) this.#add(windowId, change)
  }

  #add(windowId: string, { entity, operation }: Subject): void {
    const key = JSON.stringify([windowId, this.#minute, entity, operation])
    const count = this.#counts.get(key)
    if (count) count.count++
    else if (entity !== undefined && this.#counts.size >= maxCounts) this.#add(windowId, nothing)
    else {
      const minute = this.#minute
      this.#counts.set(key, { window_id: windowId, minute, entity, operation, count: 1, reported: 0 })
    }
  }

  /** Whether some counts were not reported yet. */
  get hasUnreported(): boolean {
    return [...this.#counts.values()].some(({ count, reported }) => count > reported)
  }

  /** Reports the unreported counts. If that fails, it rejects, and they remain unreported. */
  async report(): Promise<void> {
    const unreported = [...this.#counts.values()].filter(({ count, reported }) => count > reported)
    if (unreported.length === 0) return
    const sent = unreported.map((count) => ({ count, total: count.count }))
    await this.#report(
      unreported.map(({ window_id, minute, entity, operation, count }) => ({
        window_id,
        minute,
        entity,
        operation,
        count,
      })),
    ).catch((error: unknown) => {
      // The database's encoding lacks a character of an entity's name, so every retry would fail.
      if (!(error instanceof MaintenanceInputError)) throw error
    })
    for (const { count, total } of sent) count.reported = Math.max(count.reported, total)
    this.#forget()
  }

  /** Forgets the reported counts of past minutes. */
  #forget(): void {
    for (const [key, { minute, count, reported }] of this.#counts) {
      if (minute < this.#minute && count === reported) this.#counts.delete(key)
    }
  }
}

const nothing: Subject = { entity: undefined, operation: undefined }
