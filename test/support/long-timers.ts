const { setTimeout: setTimer } = globalThis

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
