import { onAborted } from "../state/abort-listeners"
import { WaitingNotice, type WaitingReason } from "./waiting-notice"

/** The conditions of a wait. */
export interface WaitTerms<Result> {
  /** Called as soon as the call is admitted; its result is that of the wait. */
  readonly admitted: () => Result
  /** Maximum wait in milliseconds. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** Returns the error for a call whose time is over; undefined admits the call. */
  readonly expired?: () => Error | undefined
  /** Rejects the call with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Called when the call no longer waits, for whatever reason. */
  readonly left?: () => void
}

interface Entry {
  admit(): void
  reject(error: unknown): void
}

/**
 * Calls that wait, in the order in which they came. Its owner decides when to admit one; the queue ends a
 * wait that takes too long or is aborted, and warns about calls that wait for long.
 */
export class WaitQueue<Call> {
  readonly #entries = new Map<Call, Entry>()
  readonly #notice: WaitingNotice<Call>

  /** `describe` returns what the longest waiting call waits for; undefined if that is over. */
  constructor(describe: (longest: Call) => WaitingReason | undefined) {
    this.#notice = new WaitingNotice(describe)
  }

  get size(): number {
    return this.#entries.size
  }

  /** The waiting calls, the first one first. Calls may leave the queue during the iteration. */
  [Symbol.iterator](): IterableIterator<Call> {
    return this.#entries.keys()
  }

  /** Waits until the call is admitted; rejects with the error of `reject()`, `expired()` or the signal. */
  wait<Result>(call: Call, terms: WaitTerms<Result>): Promise<Result> {
    const { admitted, timeoutMs, expired, signal, left } = terms
    if (signal?.aborted) return Promise.reject(signal.reason as Error)
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer)
        stopListening?.()
        this.#entries.delete(call)
        this.#notice.end(call)
        left?.()
      }
      const entry: Entry = {
        admit: () => {
          leave()
          resolve(admitted())
        },
        reject: (error) => {
          leave()
          reject(error)
        },
      }
      const expire = () => {
        const error = expired?.()
        if (error) entry.reject(error)
        else entry.admit()
      }
      const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs)
      const stopListening = signal && onAborted(signal, () => entry.reject(signal.reason))
      this.#entries.set(call, entry)
      this.#notice.begin(call)
    })
  }

  /** Ends the wait of a call that waits: it goes on. */
  admit(call: Call): void {
    this.#entries.get(call)?.admit()
  }

  /** Ends the wait of a call that waits with an error. */
  reject(call: Call, error: unknown): void {
    this.#entries.get(call)?.reject(error)
  }
}
