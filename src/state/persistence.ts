import { setTimeout as pause } from "node:timers/promises"
import { onAborted } from "./abort-listeners"
import { MaintenanceError, StateUnavailableError } from "../errors"
import { isDestroyed } from "./destroyed"
import { capitalized } from "../refusal"
import { isPassingCode } from "../sqlstate"
import { textOf, warn } from "../notices"

/** Milliseconds for which an unavailable server is retried, before the state is left as it stands. */
export const outageMs = 300_000
/** Milliseconds for which a change of the mode is retried that is not in force yet. */
export const briefMs = 5000

const firstWaitMs = 10
const lastWaitMs = 1000
/** Delay in milliseconds before the warning about waiting. */
const warnAfterMs = 2500

/** Options for retrying: how long, and what else ends it. */
export interface Persistence {
  readonly withinMs?: number
  readonly signal?: AbortSignal | undefined
  /** Whether the signal also ends an attempt in progress, for work that only looks. */
  readonly isAbandonable?: boolean
  /** Returns an error that says more than the given one, if there is more to say. */
  readonly explain?: (error: unknown) => Promise<unknown>
  /** Returns what an unanswered attempt waits for, if known. */
  readonly whyWaiting?: () => Promise<string | undefined>
}

/** Whether an error is a decision of this package, which a retry would not change. */
export function isFinal(error: unknown): boolean {
  return (
    error instanceof MaintenanceError && (!(error instanceof StateUnavailableError) || isDestroyed(error))
  )
}

/** Whether a retry may succeed: the server did not answer, or says so itself. */
export function isPassing(error: unknown): boolean {
  return !isFinal(error) && isPassingCode(error)
}

/**
 * Retries work while it fails for a transient reason: the connection is lost, or the state is locked. Throws
 * the last error when the time is up, and the reason of the signal.
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

/** Keeps track of whether the wait was reported. */
interface Watched {
  isWarned: boolean
  stop(): void
}

/** Emits a process warning after a while about the reason for the wait. */
function watch(whyWaiting: Persistence["whyWaiting"]): Watched {
  const warnOnce = async () => {
    const why = await whyWaiting?.()
    if (why === undefined || watched.isWarned) return
    watched.isWarned = true
    warn(capitalized(why))
  }
  const timer = whyWaiting && setTimeout(() => void warnOnce().catch(() => undefined), warnAfterMs).unref()
  const watched = { isWarned: false, stop: () => clearTimeout(timer) }
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
      if (!watched.isWarned && waitedMs >= warnAfterMs) {
        watched.isWarned = true
        const leftS = Math.ceil((withinMs - waitedMs) / 1000)
        warn(
          `The maintenance state cannot be read or changed. This process retries for another ${leftS} s. ` +
            `A mode that was entered stays in force meanwhile. ${textOf(explain ? await explain(error) : error)}`,
        )
      }
    }
    signal?.throwIfAborted()
    await pause(waitMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
  }
}

/** Resolves like a promise, or rejects with the reason of the signal if that comes first. */
async function abandonable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  let stop: () => void = () => undefined
  const aborted = new Promise<never>((_, reject) => {
    stop = onAborted(signal, () => reject(signal.reason as Error))
  })
  return Promise.race([promise, aborted]).finally(stop)
}
