const { setTimeout: setTimer, clearTimeout: clearTimer } = globalThis

/** How long a timer is to be for it to be shortened, in milliseconds: that of patience with a network, for one. */
const longMs = 10_000

/** Has long timers of this process take a tenth of their time while the work is done. */
export async function withShortenedTimers<T>(work: () => Promise<T>): Promise<T> {
  globalThis.setTimeout = ((listener: () => void, ms = 0, ...args: []) =>
    setTimer(listener, ms >= longMs ? ms / 10 : ms, ...args)) as typeof setTimeout
  try {
    return await work()
  } finally {
    globalThis.setTimeout = setTimer
  }
}

/** Keeps the timers of one length that are set while the work is done, so that it can let their time be over at once. */
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
