/** A window that is not over; times in hours since the beginning. */
export interface Window extends Terms {
  readonly id: string
  readonly mode: Mode
  readonly maintainer: string
  readonly reason: string | null
  readonly task: string | null
  readonly since: number
  readonly replaces: readonly string[]
  isEntering: boolean
  instance: number | null
  isAwaited: boolean
  isGivenUp: boolean
}

/** How long a window stands: windows of the same terms are extended together. */
export interface Terms {
  readonly terms: string
  expires: number | null
  latest: number | null
  lease: string | null
  grace: number | null
}

export type Mode = "concurrent" | "exclusive"

/** Whom a call is made for. */
export interface Actor {
  readonly user: string
  readonly isEmergency: boolean
}

/** What start_entering() is asked for. */
export interface Opening extends Actor {
  readonly id: string
  readonly mode: Mode
  readonly reason: string | null
  readonly task: string | null
  readonly within: string | null
  readonly instance: number | null
  readonly hours: number | null
  readonly lease: string | null
  readonly grace: number | null
  readonly unties: boolean
  /** Whether announce() was called for it. */
  readonly isAnnounced?: boolean
}

/** What announce() is asked for: when the window is to begin, and for how long it is planned, in hours. */
export interface Announcing extends Opening {
  readonly startsIn: number
  readonly planned: number | null
}

/** Why a window is over that another replaces. */
export const replacedBy = (other: Pick<Window, "maintainer"> | undefined, window: Window): string =>
  window.maintainer === other?.maintainer ? "switched" : "taken over"
