import { setTimeout as pause } from "node:timers/promises"
import type { SSEStreamingApi } from "hono/streaming"
import type { Viewer } from "./access"
import type { Unread } from "./live"
import type { Sight } from "./sight"
import { type Html, titleOf } from "./view/words"
import { warn } from "./warn"

/** Time for a browser to take its last event, in milliseconds. */
const closedWithinMs = 1000

/** The needs of a stream. */
export interface StreamParts {
  /** Identifies the sender of the request again. */
  viewer(): Promise<Viewer | undefined>
  /** Makes the parts of the page, by their ids. */
  parts(sight: Sight, viewer: Viewer): Readonly<Record<string, Html>>
}

/** A page that is open in a browser. */
export class OpenPage {
  readonly #stream: SSEStreamingApi
  /** Called when it cannot be kept current. */
  readonly #parts: StreamParts & { failed(): void }
  #viewer: Viewer
  /** The parts as they were sent last. */
  readonly #sent = new Map<string, string>()
  #said: string | undefined
  /** The sight to send when the browser has taken the one before. */
  #next: Sight | Unread | undefined
  /** The reason that the page shows instead of newer readings. */
  #why: string | undefined
  #isClosed = false
  #isSending = false
  /** Number of events that the browser has taken. */
  #taken = 0
  /** Number of events that it had taken when `authorize` was last called. */
  #takenBefore = -1

  constructor(stream: SSEStreamingApi, viewer: Viewer, parts: StreamParts & { failed(): void }) {
    this.#stream = stream
    this.#viewer = viewer
    this.#parts = parts
  }

  /**
   * Sends the parts that have changed, or the reason why there is no reading. A browser that is slow gets the last sight
   * only.
   */
  show(sight: Sight | Unread): void {
    this.#next = sight
    if (this.#isSending || this.#isClosed) return
    this.#isSending = true
    this.#sendNext()
      .catch((error: unknown) => {
        warn(error)
        this.#parts.failed()
      })
      .finally(() => (this.#isSending = false))
  }

  /**
   * Calls `authorize` again, and tells the browser that the connection is alive. Returns the reason why the page must be
   * closed, if there is one: the viewer may no longer see it, or it cannot be known, or the browser takes no events.
   */
  async authorize(): Promise<"revoked" | "ending" | undefined> {
    if (this.#taken === this.#takenBefore) return "ending"
    this.#takenBefore = this.#taken
    try {
      const viewer = await this.#parts.viewer()
      if (!viewer) return "revoked"
      this.#viewer = viewer
    } catch (error) {
      warn(error)
      return "ending"
    }
    // Not awaited: a browser that takes nothing is closed the next time.
    void this.#send("alive", "")
    return undefined
  }

  /** Tells the browser why the page is closed, and ends the connection. */
  async close(why: "revoked" | "ending"): Promise<void> {
    this.#isClosed = true
    if (!this.#stream.aborted)
      await Promise.race([this.#send(why, ""), pause(closedWithinMs, undefined, { ref: false })])
    void this.#stream.close()
    // Rejects what a browser has not taken.
    if (this.#stream.aborted || this.#isSending) this.#stream.abort()
  }

  async #sendNext(): Promise<void> {
    for (let sight = this.#next; sight && !this.#isClosed; sight = this.#next) {
      this.#next = undefined
      const why = "why" in sight ? sight.why : undefined
      if (why !== this.#why) await this.#send(why === undefined ? "live" : "outage", why ?? "")
      this.#why = why
      if (!("why" in sight)) await this.#sendParts(sight)
    }
  }

  async #sendParts(sight: Sight): Promise<void> {
    const { mode, state } = sight.report
    for (const [id, part] of Object.entries(this.#parts.parts(sight, this.#viewer))) {
      const html = String(await part)
      if (this.#isClosed) return
      if (this.#sent.get(id) === html) continue
      this.#sent.set(id, html)
      await this.#send("part", { id, html, mode, state, now: sight.at.getTime() })
    }
    await this.#say(sight)
  }

  /** Announces a change of the mode to screen readers. */
  async #say({ report }: Sight): Promise<void> {
    const now = [titleOf(report), report.maintainer && `by ${report.maintainer}`].filter(Boolean).join(", ")
    if (this.#said !== undefined && this.#said !== now) await this.#send("said", `${now}.`)
    this.#said = now
  }

  async #send(event: string, data: unknown): Promise<void> {
    await this.#stream.writeSSE({ event, data: JSON.stringify(data) }).catch(() => undefined)
    this.#taken++
  }
}
