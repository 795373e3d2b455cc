import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { MaintenanceWindow } from "../mode/window"

/**
 * The state as this process knows it. It serves to refuse early, and never allows a write: where it is in doubt, the fence alone
 * decides.
 */
export interface StateView {
  /** The state, if it is known to be current; or, where it is polled, to have been so a moment ago. */
  readonly known: StampedState | undefined
  /** As `known`; and what was read last, while it is read anew because something has changed. */
  readonly expected: MaintenanceStatus | undefined
  /** What was read last, current or not; undefined while nothing is read. */
  readonly latest: MaintenanceStatus | undefined
  /** Forgets what was known, because the server says that it is another state by now, and has it read anew. */
  doubt(): void
}

/** What was read, and whether it is current. */
export class KnownState {
  #known: StampedState | undefined
  #latest: MaintenanceStatus | undefined
  /** A name for all that was announced when it was read last. */
  #announced = ""
  /** The plan of which it was last reported that it is overdue. */
  #overdue: string | undefined
  /** Counts the changes that were heard of. */
  #changes = 0

  /** The state, if it is known to be current. */
  get current(): StampedState | undefined {
    return this.#known
  }

  /** What was read last, current or not. */
  get latest(): MaintenanceStatus | undefined {
    return this.#latest
  }

  /** Counts the changes that were heard of: what a read brings that was asked for before one may not be current. */
  get changes(): number {
    return this.#changes
  }

  /** Forgets what was known to be current; returns whether there was something. */
  doubt(): boolean {
    const wasKnown = this.#known !== undefined
    this.#known = undefined
    return wasKnown
  }

  /** Takes note of a change that was heard of: what was known is no longer true. */
  outdate(): void {
    this.#changes++
    this.#known = undefined
  }

  /** Forgets everything that a new connection reads. */
  forget(): void {
    this.#known = this.#latest = undefined
  }

  /**
   * Takes note of a state that was asked for after so many changes; returns whether it differs from what was read before. All reads go
   * over one connection, one after the other: what was read last is the latest.
   */
  read(state: StampedState, changes: number): boolean {
    if (changes === this.#changes) this.#known = state
    const last = this.#latest
    const announced = nameOf(state.windows)
    const isChanged = last !== undefined && (isAnother(state.status, last) || announced !== this.#announced)
    this.#latest = state.status
    this.#announced = announced
    return isChanged
  }

  /** Whether this state is overdue, and that is to be reported: true once a plan. */
  becameOverdue({ since, plannedUntil, isOverdue }: MaintenanceStatus): boolean {
    const plan = `${since?.getTime()} ${plannedUntil?.getTime()}`
    if (!isOverdue || plan === this.#overdue) return false
    this.#overdue = plan
    return true
  }
}

/** Whether a status differs from the last in what listeners are told, also if a window has expired that is not put into the row yet. */
function isAnother(status: MaintenanceStatus, last: MaintenanceStatus): boolean {
  // When a window has expired, this may be reported before it is put into the row.
  const isNormal = status.mode === "normal" && last.mode === "normal"
  return (
    (status.epoch !== last.epoch && !isNormal) ||
    status.mode !== last.mode ||
    // As after a restore, which may bring the same epoch again.
    status.since?.getTime() !== last.since?.getTime() ||
    status.expiresAt?.getTime() !== last.expiresAt?.getTime() ||
    status.graceMs !== last.graceMs
  )
}

/** A name for all that is announced, however long it is until then. */
function nameOf(windows: readonly MaintenanceWindow[]): string {
  return windows
    .map((window) =>
      window.position === "announced"
        ? `${window.id} ${window.startsAt.getTime()} ${window.isInterrupted};`
        : "",
    )
    .join("")
}
