import { setTimeout as pause } from "node:timers/promises"

/** What it asks. */
export interface Gatekeeper {
  /** The refusal of who may not write now; undefined for who may. */
  refusal(): Promise<Error | undefined>
  /** Listens to changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
}

/** How often to look whether one may write, if nothing is heard. */
const lookAgainMs = 5000
/** Within what time after a change those who wait look, so that they do not all at once. */
const spreadMs = 250

/** Resolves when one may write; throws the refusal when the time is over, and the reason of the signal. */
export async function whenWritable(
  { refusal, onChange }: Gatekeeper,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  const wait = (ms: number, until: AbortSignal[]) =>
    pause(Math.min(ms, Math.max(0, deadline - performance.now())), undefined, {
      signal: AbortSignal.any([...until, ...(signal ? [signal] : [])]),
    }).catch(() => undefined)
  for (;;) {
    signal?.throwIfAborted()
    const change = new AbortController()
    const stop = onChange(() => change.abort())
    try {
      const refused = await refusal()
      if (!refused) return
      if (performance.now() >= deadline) throw refused
      // Not for ever: while the watch is cut off nothing is heard.
      await wait(lookAgainMs, [change.signal])
      if (change.signal.aborted) await wait(Math.random() * spreadMs, [])
    } finally {
      stop()
    }
  }
}
