/** Who changes the mode. */
export interface LeaveOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /**
   * Whether to do nothing if this user holds no window, so that a script can run twice. Somebody else's window stands, also if this
   * is an emergency user. Default: false, which throws.
   */
  ifHeld?: boolean | undefined
}

/** A window that was announced. */
export interface Announced {
  /** Names it to `cancel()`. */
  readonly id: string
  /** When it begins, on the database's clock. */
  readonly startsAt: Date
}

/** Options for `cancel()`. */
export interface CancelOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
}

/** How long a window is to stand. */
export interface ExtendOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /** After how many milliseconds from now it ends by itself; from 1000 up. Default: not at all. */
  expiresInMs?: number | undefined
}

/** To whom a window is handed. */
export interface TransferOptions {
  /** The maintainer or an emergency user. Default: whom the running code acts for. */
  as?: string | undefined
  /** The new maintainer. */
  to: string
  /** How many milliseconds to wait for what the former one is just committing. Default: 30000. */
  withinMs?: number | undefined
}
