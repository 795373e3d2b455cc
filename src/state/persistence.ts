import { setTimeout as pause } from "node:timers/promises"
import { onAborted } from "./abort-listeners"
import { MaintenanceError, StateUnavailableError } from "../errors"
import { isDestroyed } from "./destroyed"
import { capitalized } from "../refusal"
import { isPassingCode } from "./sqlstate"
import { warn } from "../notices"

/** How long a server may be away, in milliseconds, before what stands there is left to stand. */
export const outageMs = 300_000
/** How long a change of the mode is tried that has not begun to hold. */
export const briefMs = 5000

const firstWaitMs = 10
const lastWaitMs = 1000
/** After how long it is said that it is waited for. */
const sayAfterMs = 2500

/** How long, and until when else, it is tried again. */
export interface Persistence {
  readonly withinMs?: number
  readonly signal?: AbortSignal | undefined
  /** Whether the signal ends an attempt that is under way, too: for what only looks. */
  readonly isAbandonable?: boolean
  /** What is to be said of an error, if that is more than it says itself. */
  readonly explain?: (error: unknown) => Promise<unknown>
  /** What an attempt waits for that has no answer yet, if that is known. */
  readonly whyWaiting?: () => Promise<string | undefined>
}

/** Whether an error is an answer of this package, which is the same when it is asked again. */
export function isFinal(error: unknown): boolean {
  return (
    error instanceof MaintenanceError && (!(error instanceof StateUnavailableError) || isDestroyed(error))
  )
}

/** Whether it may go well if it is tried again: nothing was heard of the server, or it says so. */
export function isPassing(error: unknown): boolean {
  return !isFinal(error) && isPassingCode(error)
}

/**
 * Does it again as long as it fails for a reason that passes: the connection is lost, or the state is locked. Throws the last error
 * when the time is over, and the reason of the signal.
 */
export async function persistently<T>(
  work: (isAgain: boolean) => Promise<T>,
  { whyWaiting, ...persistence }: Persistence = {},
): Promise<T> {
  const watched = watch(whyWaiting)
  try {
    return await tryAgain(work, persistence, watched)
  } finally {
    watched.stop()
  }
}

/** Whether it was said what is waited for. */
interface Watched {
  isSaid: boolean
  stop(): void
}

/** Says in a process warning after a while what is waited for. */
function watch(whyWaiting: Persistence["whyWaiting"]): Watched {
  const say = async () => {
    const why = await whyWaiting?.()
    if (why === undefined || watched.isSaid) return
    watched.isSaid = true
    warn(capitalized(why))
  }
  const timer = whyWaiting && setTimeout(() => void say().catch(() => undefined), sayAfterMs).unref()
  const watched = { isSaid: false, stop: () => clearTimeout(timer) }
  return watched
}

async function tryAgain<T>(
  work: (isAgain: boolean) => Promise<T>,
  { withinMs = outageMs, signal, isAbandonable = false, explain }: Persistence,
  watched: Watched,
): Promise<T> {
  const start = performance.now()
  for (
    let waitMs = firstWaitMs, isAgain = false;
    ;
    waitMs = Math.min(waitMs * 2, lastWaitMs), isAgain = true
  ) {
    try {
      if (isAbandonable) signal?.throwIfAborted()
      return await (isAbandonable ? abandonable(work(isAgain), signal) : work(isAgain))
    } catch (error) {
      const waitedMs = performance.now() - start
      if (!isPassing(error) || waitedMs >= withinMs) throw error
      if (!watched.isSaid && waitedMs >= sayAfterMs) {
        watched.isSaid = true
        const leftS = Math.ceil((withinMs - waitedMs) / 1000)
        warn(
          `The maintenance state cannot be read or changed; it is tried for ${leftS} s more, and a mode that was entered ` +
            `stands meanwhile. ${String(explain ? await explain(error) : error)}`,
        )
      }
    }
    signal?.throwIfAborted()
    await pause(waitMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
  }
}

/** What a promise comes to, or the reason of the signal, if that comes before. */
async function abandonable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  let stop: () => void = () => undefined
  const aborted = new Promise<never>((_, reject) => {
    stop = onAborted(signal, () => reject(signal.reason as Error))
  })
  return Promise.race([promise, aborted]).finally(stop)
}
