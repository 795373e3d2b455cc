/** A window that is not over. Times are in hours since the beginning. */
export interface Window extends Terms {
  readonly id: string
  readonly mode: Mode
  readonly maintainer: string
  readonly reason: string | null
  readonly task: string | null
  readonly since: number
  readonly replaces: readonly string[]
  planned: number | null
  isEntering: boolean
  instance: number | null
  isAwaited: boolean
  isGivenUp: boolean
}

/** The terms of a window, which determine its end. Windows with the same terms are extended together. */
export interface Terms {
  readonly terms: string
  expires: number | null
  latest: number | null
  lease: string | null
  grace: number | null
}

/** A mode that a window can have. */
export type Mode = "concurrent" | "exclusive"

/** The user that a call is made for. */
export interface Actor {
  readonly user: string
  readonly isEmergency: boolean
}

/** The parameters of `start_entering()`. The durations are in hours. */
export interface Opening extends Actor {
  readonly id: string
  readonly mode: Mode
  readonly reason: string | null
  readonly task: string | null
  readonly within: string | null
  readonly instance: number | null
  readonly hours: number | null
  readonly planned: number | null
  readonly lease: string | null
  readonly grace: number | null
  readonly unties: boolean
  /** Whether it was announced. */
  readonly isAnnounced?: boolean
}

/** The parameters of `announce()`. The start is in hours. */
export interface Announcing extends Opening {
  readonly startsIn: number
}

/** The end of a window: the reason, and the user who ended it, if one did. */
export const endingOf = (because: string, by: string | null): string =>
  by === null ? because : `${because} by ${by}`

/** The reason for the end of a window that another one replaces. */
export const replacedBy = (other: Pick<Window, "maintainer"> | undefined, window: Window): string =>
  window.maintainer === other?.maintainer ? "switched" : "taken over"
