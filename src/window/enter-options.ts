import type { DrainOutcome } from "../drain/drain"

/** What is done about what others have running when a mode is entered. */
export interface DrainOptions {
  /**
   * How many milliseconds to wait for it to end. Default: 30000; in concurrent mode without a `drain`, only for commits under way. For
   * these it is a second at least.
   */
  withinMs?: number | undefined
  /**
   * What to do with what is left then. `proceed`: nothing, it is refused later; but sessions without the plugin and prepared
   * transactions are not, and may still commit. Commits under way, which can be refused no more, are waited for as long as it takes if this is
   * given, and else make it be abandoned. `cancel`: cancel its statement; `terminate`: terminate its session; what is left
   * another 5 seconds later makes it be abandoned. `abandon`: the mode goes back to what it was, with a DrainTimeoutError. Default: `proceed` in concurrent mode, `abandon` in exclusive mode.
   */
  then?: DrainOutcome | undefined
}

/** Who changes the mode, and why. */
export interface EnterOptions {
  /** The maintainer. Default: whom the running code acts for. */
  as?: string | undefined
  /** For those who run the system, and their logs; at most 1000 characters. Default: none, or what was said before. */
  reason?: string | undefined
  /** For the public: what frameworks for HTTP send of a refusal; at most 2000 characters. Default: none, or what was said before. */
  message?: string | undefined
  /**
   * In how many milliseconds the maintainer expects to be done; from 1000 up, and not later than `expiresInMs`. Nothing ends then: it is
   * what others are told to wait for (`retryAfterMs`), where there is no expiry. Default: not known, or as was said before.
   */
  plannedForMs?: number | undefined
  /**
   * How many milliseconds to wait for the instances to say that they know the new mode. One that does not is named in the
   * result, and in a process warning. Default: 5000.
   */
  acknowledgeWithinMs?: number | undefined
  /**
   * After how many milliseconds the window ends by itself, on the database's clock, even if every process is dead; from 1000
   * up. Default: not at all, or as was said before.
   */
  expiresInMs?: number | undefined
  /**
   * `"alive"` ties the window to this process: it ends when nothing was heard of its watch for `graceMs`, be it that the
   * process is dead, stopped, or cut off. Default: it stands, whoever is dead, or as was said before.
   */
  heldWhile?: "alive" | undefined
  /** How many milliseconds nothing need be heard of this process; from 1000 up. Default: 30000. */
  graceMs?: number | undefined
  /** What becomes of the window then: with `"stay"` it stands, as if it were not tied. Default: `"end"`. */
  then?: "end" | "stay" | undefined
  /**
   * Announces the window now, and enters it so many milliseconds later; until then it restricts nobody, and `leave()` or `cancel()`
   * takes it back. If this process is gone then, another instance begins it, but not that of a `during()`. Default: it begins at once.
   */
  startsInMs?: number | undefined
  /** As `startsInMs`, at a time on the database's clock. */
  startsAt?: Date | undefined
  /**
   * In concurrent mode, how many connections of each instance others may use at a time; from 1 up. Who asks for one more waits
   * for it, so that the pool has room for the maintainer. Default: as many as there are, or as was said before.
   */
  readers?: number | undefined
  /** What is done about what others have running. Default: that of the mode. */
  drain?: DrainOptions | undefined
  /**
   * Whether SIGINT and SIGTERM end the window before they end the process, for scripts. The signal takes a window back that is being
   * entered, and leaves one that stands, which takes 5 seconds at most; a second signal is not held up. If the application listens
   * to the signal, too, its listeners decide what becomes of the process. Default: false.
   */
  leaveOnSignal?: boolean | undefined
  /** Breaks the entering off: the mode goes back to what it was, and `enter()` rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** Options for `announce()`: those of `enter()` with a start, but for what needs a call that waits, or a process that lives. */
export type AnnounceOptions = Omit<
  EnterOptions,
  "signal" | "leaveOnSignal" | "heldWhile" | "graceMs" | "then"
>

/** The names of the options. */
export const enterOptionNames = [
  "as",
  "reason",
  "message",
  "plannedForMs",
  "expiresInMs",
  "heldWhile",
  "graceMs",
  "then",
  "startsInMs",
  "startsAt",
  "readers",
  "drain",
  "acknowledgeWithinMs",
  "leaveOnSignal",
  "signal",
]
