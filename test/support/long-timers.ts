const { setTimeout: setTimer, clearTimeout: clearTimer } = globalThis

/** Shortest timer that is shortened, in milliseconds, such as a network timeout. */
const longMs = 10_000

/** Shortens the long timers of this process to a tenth while the work runs. */
export async function withShortenedTimers<T>(work: () => Promise<T>): Promise<T> {
  globalThis.setTimeout = ((listener: () => void, ms = 0, ...args: []) =>
    setTimer(listener, ms >= longMs ? ms / 10 : ms, ...args)) as typeof setTimeout
  try {
    return await work()
  } finally {
    globalThis.setTimeout = setTimer
  }
}

/**
 * Collects the timers of one length that are set while the work runs, so that it can make them elapse at
 * once.
 */
export async function withTimersOf<T>(ms: number, work: (elapse: () => void) => Promise<T>): Promise<T> {
  const waiting = new Map<unknown, () => void>()
  globalThis.setTimeout = ((listener: () => void, delay = 0, ...args: []) => {
    const timer = setTimer(listener, delay, ...args)
    if (delay === ms) waiting.set(timer, listener)
    return timer
  }) as typeof setTimeout
  globalThis.clearTimeout = (timer) => {
    waiting.delete(timer)
    clearTimer(timer)
  }
  try {
    return await work(() => {
      for (const [timer, listener] of waiting) {
        clearTimer(timer as NodeJS.Timeout)
        listener()
      }
      waiting.clear()
    })
  } finally {
    globalThis.setTimeout = setTimer
    globalThis.clearTimeout = clearTimer
  }
}
