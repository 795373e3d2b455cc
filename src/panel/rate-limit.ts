/** Time over which changes are counted, in milliseconds. */
const overMs = 60_000

/** Limits the number of changes that each user makes in a minute. */
export class RateLimit {
  readonly #most: number
  readonly #times = new Map<string, number[]>()

  constructor(most: number) {
    this.#most = most
  }

  /** Counts a change; returns whether it is allowed. */
  allows(user: string, now = performance.now()): boolean {
    for (const [other, times] of this.#times)
      if ((times.at(-1) ?? 0) <= now - overMs) this.#times.delete(other)
    const recent = (this.#times.get(user) ?? []).filter((time) => time > now - overMs)
    const isAllowed = recent.length < this.#most
    if (isAllowed) recent.push(now)
    this.#times.set(user, recent)
    return isAllowed
  }
}
