import { setTimeout as pause } from "node:timers/promises"
import type { Opening, Start, Switching } from "../state/switching"
import { withdrawn } from "./failure"

/** How often the database is asked how long it is still, for its clock is the one that counts. */
const askAgainMs = 60_000

/**
 * Announces a window, and resolves when it is to begin. Throws NotMaintainerError if it is withdrawn meanwhile, or another is announced
 * instead; withdraws it and throws the reason of the signal, if that is aborted.
 */
export async function awaitStart(
  switching: Switching,
  {
    opening,
    start,
    signal,
  }: { opening: Omit<Opening, "instance">; start: Start; signal?: AbortSignal | undefined },
  onChange: (listener: () => void) => () => void,
): Promise<void> {
  await switching.announce(opening, start)
  for (;;) {
    const change = new AbortController()
    const stop = onChange(() => change.abort())
    try {
      const leftMs = await switching.startsIn(opening.id)
      if (leftMs === null) throw withdrawn()
      if (leftMs <= 0) return
      const until = AbortSignal.any(signal ? [change.signal, signal] : [change.signal])
      await pause(Math.min(leftMs, askAgainMs), undefined, { signal: until }).catch(() => undefined)
    } finally {
      stop()
    }
    if (!signal?.aborted) continue
    await switching.withdraw(opening)
    signal.throwIfAborted()
  }
}
