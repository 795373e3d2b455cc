/**
 * The way in which a window ended:
 *
 * - `left`: by `leave()`, or at the end of its `during()`.
 * - `expired`: its time was up.
 * - `switched`: its maintainer entered another mode, or announced another window.
 * - `taken over`: an emergency user entered over it, or announced another window.
 * - `handed over`: by `transfer()`.
 * - `abandoned`: entering it was given up before it was complete.
 * - `lost`: its process sent no sign of life (`heldWhile: "alive"`), or the process of its `during()` was
 *   gone.
 * - `replaced`: the state was replaced from outside, for example by a restore.
 * - `cancelled`: it was announced, and then cancelled.
 * - `missed`: it was announced, but another user held a window at its start, no process began it in time, a
 *   `during()` of the same user ran until it would have expired, or the process of its `during()` was gone.
 */
export type EndedBecause =
  | "left"
  | "expired"
  | "switched"
  | "taken over"
  | "handed over"
  | "abandoned"
  | "lost"
  | "replaced"
  | "cancelled"
  | "missed"

/** The end of a window, as far as it is known. */
export interface Ending {
  readonly endedBecause?: EndedBecause | undefined
  /** The user who ended it; undefined if no user did, for example when it expired. */
  readonly endedBy?: string | undefined
  /** Time of the end, on the database's clock. */
  readonly endedAt?: Date | undefined
}
