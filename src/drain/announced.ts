import { setTimeout as pause } from "node:timers/promises"
import type { Opening, Start, Switching } from "../state/switching"

/** How often the database is asked how long it is still, for its clock is the one that counts. */
const askAgainMs = 60_000

/** A window to announce. */
export interface Announcement {
  readonly opening: Opening
  readonly start: Start
  readonly signal: AbortSignal | undefined
}

/** How it hears that something has changed. */
export interface News {
  /** Listens to changes of the mode, and of what is announced; returns the undo. */
  onChange(listener: () => void): () => void
  /** Aborted when nothing is heard any more. */
  readonly stopped: AbortSignal
}

/**
 * Announces a window, and resolves when it is to begin, with true, or is withdrawn, with false. Throws StateUnavailableError if the
 * DataSource is destroyed; withdraws it and throws the reason of the signal, if that is aborted.
 */
export async function awaitStart(
  switching: Switching,
  { opening, start, signal }: Announcement,
  { onChange, stopped }: News,
): Promise<boolean> {
  await switching.announce(opening, start)
  for (;;) {
    const change = new AbortController()
    const stop = onChange(() => change.abort())
    try {
      const leftMs = await switching.startsIn(opening.id, signal)
      signal?.throwIfAborted()
      if (leftMs === null) return false
      if (leftMs <= 0) return true
      const until = AbortSignal.any([change.signal, stopped, ...(signal ? [signal] : [])])
      await pause(Math.min(leftMs, askAgainMs), undefined, { signal: until }).catch(() => undefined)
    } catch (error) {
      // What cannot be withdrawn does not begin either, for nobody waits for it.
      if (signal?.aborted) await switching.withdraw(opening).catch(() => undefined)
      throw error
    } finally {
      stop()
    }
  }
}
