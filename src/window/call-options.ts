import type { Mode } from "../mode/mode"

/** Options for `leave()`. */
export interface LeaveOptions {
  /** The maintainer or an emergency user. Default: the current user. */
  as?: string | undefined
  /**
   * Whether to do nothing if this user holds no window, so that a script can run twice. Another user's window
   * stays in force, even if this user is an emergency user. Default: false, which throws.
   */
  ifHeld?: boolean | undefined
  /**
   * Whether announced windows stay, and the call throws instead if no window is in force. Default: false, which cancels
   * those that this user has announced; for an emergency user who has announced none, those of all users.
   */
  windowOnly?: boolean | undefined
}

/** The result of `announce()`. */
export interface Announced {
  /** Identifier of the window, for `cancel()`. */
  readonly id: string
  /** Start of the window, on the database's clock. */
  readonly startsAt: Date
}

/** Options for `cancel()`. */
export interface CancelOptions {
  /** The maintainer or an emergency user. Default: the current user. */
  as?: string | undefined
}

/** Options for `extend()`. */
export interface ExtendOptions {
  /** The maintainer or an emergency user. Default: the current user. */
  as?: string | undefined
  /**
   * Time from now until the window ends by itself, in milliseconds; at least 1000. Default: the window does
   * not expire.
   */
  expiresInMs?: number | undefined
}

/** Options for `transfer()`. */
export interface TransferOptions {
  /** The maintainer or an emergency user. Default: the current user. */
  as?: string | undefined
  /** The new maintainer. */
  to: string
  /**
   * Time to wait for commits of the former maintainer that are under way, in milliseconds. Default: 30000.
   */
  withinMs?: number | undefined
}

/** Options for `progress()`. */
export interface ProgressOptions {
  /** The maintainer or an emergency user. Default: the current user. */
  as?: string | undefined
}

/** Options for `blockers()`. */
export interface BlockersOptions {
  /**
   * The mode that would be entered. Default: the mode that is being entered now, or else `exclusive`.
   */
  mode?: Exclude<Mode, "normal"> | undefined
  /**
   * The user who would enter it, whose own transactions are left out where they are known. Default: the current
   * user.
   */
  as?: string | undefined
}
