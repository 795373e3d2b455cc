import type { Context } from "hono"
import { type SSEStreamingApi, streamSSE } from "hono/streaming"
import type { Environment, Viewer } from "./access"
import type { LiveSight } from "./live"
import type { Sight } from "./sight"
import { nameOf } from "./view/words"
import type { Html } from "./view/words"

/** Number of pages that may be open at a time. */
const mostStreams = 100
/** Time after which `authorize` is called again, in milliseconds. */
const authorizeEveryMs = 15_000

/** The needs of a stream. */
export interface StreamParts {
  /** Identifies again the person from whom the request comes. */
  viewer(): Promise<Viewer | undefined>
  /** Makes the parts of the page, by their ids. */
  parts(sight: Sight, viewer: Viewer): Readonly<Record<string, Html>>
}

/** The streams of server-sent events by which open pages are kept current. */
export class Streams {
  readonly #live: LiveSight
  readonly #open = new Set<() => void>()
  #isClosed = false

  constructor(live: LiveSight) {
    this.#live = live
  }

  /** Answers with a stream, or with 503 if there are too many. */
  open(context: Context<Environment>, parts: StreamParts): Response {
    if (this.#isClosed || this.#open.size >= mostStreams)
      return context.text("Too many pages are open.", 503, { "Retry-After": "30" })
    // Proxies must not keep events back.
    context.header("X-Accel-Buffering", "no")
    const viewer = context.get("viewer")
    return streamSSE(context, (stream) => this.#run(stream, viewer, parts))
  }

  /** Ends all streams. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const end of this.#open) end()
  }

  #run(stream: SSEStreamingApi, viewer: Viewer, parts: StreamParts): Promise<void> {
    return new Promise((resolve) => {
      const page = new OpenPage(stream, viewer, parts)
      const unfollow = this.#live.follow((sight) => page.show(sight))
      let asking: NodeJS.Timeout | undefined
      const askLater = () => {
        asking = setTimeout(
          () => void page.authorize().then((may) => (may ? askLater() : end())),
          authorizeEveryMs,
        )
        asking.unref()
      }
      const end = () => {
        if (!this.#open.delete(end)) return
        unfollow()
        clearTimeout(asking)
        void page.close().finally(resolve)
      }
      this.#open.add(end)
      askLater()
      stream.onAbort(end)
    })
  }
}

/** A page that is open in a browser. */
class OpenPage {
  readonly #stream: SSEStreamingApi
  readonly #parts: StreamParts
  #viewer: Viewer
  /** The parts as they were sent last. */
  readonly #sent = new Map<string, string>()
  #said: string | undefined
  /** The sight to send when the browser has taken the one before. */
  #next: Sight | "outage" | undefined
  #isOutage = false
  #isSending = false

  constructor(stream: SSEStreamingApi, viewer: Viewer, parts: StreamParts) {
    this.#stream = stream
    this.#viewer = viewer
    this.#parts = parts
  }

  /**
   * Sends the parts that have changed, or that the database does not answer. A browser that is slow gets the last sight
   * only.
   */
  show(sight: Sight | undefined): void {
    this.#next = sight ?? "outage"
    if (!this.#isSending) void this.#sendNext()
  }

  /** Whether the viewer may still see the page. It sends something in any case, so that a dead connection is noticed. */
  async authorize(): Promise<boolean> {
    const viewer = await this.#parts.viewer().catch(() => undefined)
    if (viewer) this.#viewer = viewer
    await this.#send("alive", "")
    return viewer !== undefined
  }

  async close(): Promise<void> {
    if (!this.#stream.aborted) await this.#send("closed", "")
    await this.#stream.close()
  }

  async #sendNext(): Promise<void> {
    this.#isSending = true
    for (let sight = this.#next; sight; sight = this.#next) {
      this.#next = undefined
      const isOutage = sight === "outage"
      if (isOutage !== this.#isOutage) await this.#send(isOutage ? "outage" : "live", "")
      this.#isOutage = isOutage
      if (sight !== "outage") await this.#sendParts(sight)
    }
    this.#isSending = false
  }

  async #sendParts(sight: Sight): Promise<void> {
    const { mode } = sight.report
    for (const [id, part] of Object.entries(this.#parts.parts(sight, this.#viewer))) {
      const html = String(await part)
      if (this.#sent.get(id) === html) continue
      this.#sent.set(id, html)
      await this.#send("part", { id, html, mode })
    }
    await this.#say(sight)
  }

  /** Tells of another mode, for those who do not see the page. */
  async #say({ report }: Sight): Promise<void> {
    const { mode, state, maintainer } = report
    const now =
      maintainer === undefined
        ? "The mode is normal."
        : `${state === "entering" ? `Entering ${nameOf[mode].toLowerCase()}` : nameOf[mode]}, by ${maintainer}.`
    if (this.#said !== undefined && this.#said !== now) await this.#send("said", now)
    this.#said = now
  }

  async #send(event: string, data: unknown): Promise<void> {
    await this.#stream.writeSSE({ event, data: JSON.stringify(data) }).catch(() => undefined)
  }
}
