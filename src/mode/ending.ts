/**
 * How a window ended:
 *
 * - `left`: by `leave()`, or the end of its `during()`.
 * - `expired`: its time was over.
 * - `switched`: its maintainer entered another mode, or announced another window.
 * - `taken over`: an emergency user entered over it, or announced another window.
 * - `handed over`: by `transfer()`.
 * - `abandoned`: it was never entered to its end.
 * - `lost`: nothing was heard of its process (`heldWhile: "alive"`), or the process of its `during()` was gone.
 * - `replaced`: the state was replaced from outside, as by a restore.
 * - `cancelled`: it was announced, and taken back.
 * - `missed`: it was announced, and somebody else held a window at its time, or no process began it in time.
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
  /** The user who ended it; undefined if nobody did, as when it expired. */
  readonly endedBy?: string | undefined
  /** When, on the database's clock. */
  readonly endedAt?: Date | undefined
}
