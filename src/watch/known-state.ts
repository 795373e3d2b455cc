import type { MaintenanceStatus, StampedState } from "../mode/status"
import type { MaintenanceWindow } from "../mode/window"

/** The last state that was read, and whether it is current. */
export class KnownState {
  #known: StampedState | undefined
  #latest: MaintenanceStatus | undefined
  /** A fingerprint of the announced windows at the last read. */
  #announced = ""
  /** The plans that were reported as overdue in this maintenance. An outer window may come into force again. */
  readonly #overdue = new Set<string>()
  /** Number of changes that this process was notified of. */
  #changes = 0

  /** The state, while it is known to be current. */
  get current(): StampedState | undefined {
    return this.#known
  }

  /** The last status that was read, current or not. */
  get latest(): MaintenanceStatus | undefined {
    return this.#latest
  }

  /** Number of changes so far. A read that was requested before a change may return an outdated state. */
  get changes(): number {
    return this.#changes
  }

  /** Discards the current state. Returns whether there was one. */
  doubt(): boolean {
    const wasKnown = this.#known !== undefined
    this.#known = undefined
    return wasKnown
  }

  /** Records a change: the known state is no longer current. */
  outdate(): void {
    this.#changes++
    this.#known = undefined
  }

  /** Forgets everything that a new connection will read. */
  forget(): void {
    this.#known = this.#latest = undefined
  }

  /**
   * Records a state that was requested after the given number of changes. Returns whether it differs from the
   * previous one. All reads share one connection, one after the other, so the last read is the latest state.
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

  /** Whether this state is overdue and that is still to be reported: true once for each plan. */
  becameOverdue({ mode, since, plannedUntil, isOverdue }: MaintenanceStatus): boolean {
    if (mode === "normal") this.#overdue.clear()
    const plan = `${since?.getTime()} ${plannedUntil?.getTime()}`
    if (!isOverdue || this.#overdue.has(plan)) return false
    this.#overdue.add(plan)
    return true
  }
}

/** Whether a status differs from the last one in anything that listeners receive. */
function isAnother(status: MaintenanceStatus, last: MaintenanceStatus): boolean {
  // An expired window may be reported before its row is updated.
  const isNormal = status.mode === "normal" && last.mode === "normal"
  return (
    (status.epoch !== last.epoch && !isNormal) ||
    status.mode !== last.mode ||
    // After a restore, the same epoch may occur again.
    status.since?.getTime() !== last.since?.getTime() ||
    status.expiresAt?.getTime() !== last.expiresAt?.getTime() ||
    status.graceMs !== last.graceMs
  )
}

/** A fingerprint of the announced windows, independent of the time left until they begin. */
function nameOf(windows: readonly MaintenanceWindow[]): string {
  return windows
    .map((window) =>
      window.position === "announced"
        ? `${window.id} ${window.startsAt.getTime()} ${window.isInterrupted};`
        : "",
    )
    .join("")
}
