import type { Mode } from "./mode"

/** A window that is to begin later. It restricts nobody yet. */
export interface AnnouncedWindow {
  /** Names it to `cancel()`. */
  readonly id: string
  readonly mode: Exclude<Mode, "normal">
  /** Who will hold it. */
  readonly maintainer: string
  readonly reason?: string
  /** What the public is told. */
  readonly message?: string
  /** When it begins, on the database's clock. */
  readonly startsAt: Date
  /** How many milliseconds after this was read that is. */
  readonly startsInMs: number
  /** How many milliseconds after its beginning it ends by itself; absent if that is not known. */
  readonly expiresInMs?: number
  /** When the maintainer expects to be done, on the database's clock; absent if nothing was said of that. */
  readonly plannedUntil?: Date
  /**
   * Whether the process whose call waits for it is gone, for ever or for a moment: then another instance begins it, but not that of a
   * `during()`, which does not begin.
   */
  readonly isInterrupted: boolean
}

/** A window that has begun, and is not over. Windows lie over one another: the last is in force, what it lies over is when it ends. */
export interface OpenWindow {
  /** Names it. */
  readonly id: string
  /** `entering` while what others had running is waited for. */
  readonly position: "entering" | "standing"
  readonly mode: Exclude<Mode, "normal">
  readonly maintainer: string
  readonly reason?: string
  /** What the public is told. */
  readonly message?: string
  /** When the maintenance began that it is a part of, on the database's clock. */
  readonly since: Date
  /** When this window began, on the database's clock. */
  readonly begunAt: Date
  /** When nothing of others was waited for any more, on the database's clock; absent while it is. */
  readonly enteredAt?: Date
  /** When the maintainer expects to be done, on the database's clock; absent if nothing was said of that. */
  readonly plannedUntil?: Date
  /** When it ends by itself, on the database's clock; absent if it does not. */
  readonly expiresAt?: Date
  /** How many milliseconds it goes on when nothing is heard of the process that it is tied to; absent if it is tied to none. */
  readonly graceMs?: number
  /** How many connections of each instance others may use; absent if that is not bounded. */
  readonly readers?: number
  /** Whether it is that of a `during()`. */
  readonly isTask: boolean
  /** Whether who enters it does not wait any more, or the process of its `during()` is gone, for ever or for a moment. */
  readonly isInterrupted: boolean
}

/** A window that is not over: one that has begun, or is announced. */
export type MaintenanceWindow = OpenWindow | (AnnouncedWindow & { readonly position: "announced" })

/** Whether a window is announced, and has not begun. */
export function isAnnounced(
  window: MaintenanceWindow,
): window is Extract<MaintenanceWindow, { position: "announced" }> {
  return window.position === "announced"
}
