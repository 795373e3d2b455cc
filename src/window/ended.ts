import type { Opened } from "../state/opening"
import type { StateStore } from "../state/state-store"
import { interrupted, windowEnded } from "./failure"
import { fateOf } from "./fate"
import type { WindowHost } from "./host"

/** The parameters for the error about a window that is over. */
export interface EndedTerms {
  readonly store: StateStore
  /** A clause that says what the call was still waiting for: "entering was complete". */
  readonly what: string
  readonly cause: unknown
}

/**
 * The error for a window that is no longer in force. It says what became of the window, and what is in force
 * instead.
 */
export async function endedError(
  host: WindowHost,
  { id }: Opened,
  { store, what, cause }: EndedTerms,
): Promise<Error> {
  const fate = await fateOf(store, id)
  if (!fate.isOver) return interrupted(cause, { why: `${fate.why}.` })
  const status = await host.access.refresh().catch(() => undefined)
  return windowEnded(what, fate, { status, cause })
}
