import type { MaintenanceStatus, StampedState } from "../mode/status"

/**
 * The state as this process knows it. It serves to refuse early and never allows a write: in case of doubt,
 * the fence alone decides.
 */
export interface StateView {
  /** The state, while it is known to be current. Where the state is polled, it was current a moment ago. */
  readonly known: StampedState | undefined
  /** The status by `known` or, during a read caused by a change, the last one that was read. */
  readonly expected: MaintenanceStatus | undefined
  /** The last status that was read, current or not. Undefined before the first read. */
  readonly latest: MaintenanceStatus | undefined
  /** Adds a listener for changes of the state, called after those added before. Returns the undo. */
  onChange(listener: () => void): () => void
  /** Discards the known state, because the server reports a different one, and reads it again. */
  doubt(): void
}
