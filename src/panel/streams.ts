import type { Context } from "hono"
import { type SSEStreamingApi, streamSSE } from "hono/streaming"
import type { Environment, Viewer } from "./access"
import type { LiveSight } from "./live"
import { OpenPage, type StreamParts } from "./open-page"

/** Number of pages that may be open at a time. */
const mostStreams = 100
/** Number of pages that a user may have open at a time. */
const mostOfUser = 20
/** Time after which `authorize` is called again, in milliseconds. */
const authorizeEveryMs = 15_000

/** The streams of server-sent events by which open pages are kept current. */
export class Streams {
  readonly #live: LiveSight
  /** The function that ends each stream, and its user. */
  readonly #open = new Map<(why: "ending") => Promise<void>, string>()
  #isClosed = false

  constructor(live: LiveSight) {
    this.#live = live
  }

  /** Answers with a stream, or with 429 if there are too many. */
  open(context: Context<Environment>, parts: StreamParts): Response {
    const viewer = context.get("viewer")
    const ofUser = [...this.#open.values()].filter((user) => user === viewer.user).length
    if (this.#isClosed) return context.text("The control panel was closed.", 503, { "Retry-After": "5" })
    if (this.#open.size >= mostStreams || ofUser >= mostOfUser)
      return context.text("Too many pages are open.", 429, { "Retry-After": "30" })
    // The script asks in this way whether it may connect again. Nobody would read a stream.
    if (context.req.method === "HEAD") return context.body(null)
    const response = streamSSE(context, (stream) => this.#run(stream, viewer, parts))
    // Neither a proxy nor middleware that compresses may keep events back.
    response.headers.set("Cache-Control", "no-store, no-transform")
    response.headers.set("X-Accel-Buffering", "no")
    return response
  }

  /** Ends all streams. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#open.keys()].map((end) => end("ending")))
  }

  #run(stream: SSEStreamingApi, viewer: Viewer, parts: StreamParts): Promise<void> {
    return new Promise((resolve) => {
      const page = new OpenPage(stream, viewer, { ...parts, failed: () => void end("ending") })
      const unfollow = this.#live.follow((sight) => page.show(sight))
      let asking: NodeJS.Timeout | undefined
      const askLater = () => {
        asking = setTimeout(
          () =>
            void page.authorize().then((why) => {
              // The page may have ended meanwhile.
              if (!this.#open.has(end)) return
              if (why === undefined) askLater()
              else void end(why)
            }),
          authorizeEveryMs,
        )
        asking.unref()
      }
      const end = async (why: "revoked" | "ending") => {
        if (!this.#open.delete(end)) return
        unfollow()
        clearTimeout(asking)
        await page.close(why)
        resolve()
      }
      this.#open.set(end, viewer.user)
      stream.onAbort(() => void end("ending"))
      askLater()
    })
  }
}
