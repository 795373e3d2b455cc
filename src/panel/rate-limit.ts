/** Time over which forms are counted, in milliseconds. */
const overMs = 60_000

/** A user has sent more forms in a minute than the limit allows. */
export class TooManyForms extends Error {
  constructor() {
    super("Nothing was changed. You have sent too many forms within a minute. Wait a minute, then try again.")
  }
}

/** Limits the number of forms of a kind that each user sends in a minute. */
export class RateLimit {
  readonly #most: number
  readonly #times = new Map<string, number[]>()

  constructor(most: number) {
    this.#most = most
  }

  /** Counts a form. Throws TooManyForms if that is one too many. */
  take(user: string, now = performance.now()): void {
    for (const [other, times] of this.#times)
      if ((times.at(-1) ?? 0) <= now - overMs) this.#times.delete(other)
    const recent = (this.#times.get(user) ?? []).filter((time) => time > now - overMs)
    this.#times.set(user, recent)
    if (recent.length >= this.#most) throw new TooManyForms()
    recent.push(now)
  }
}
