import { randomBytes, timingSafeEqual } from "node:crypto"
import type { Panel, Viewer } from "../panel/index"

const headers = {
  "Cache-Control": "no-store",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
}

/**
 * Lets one browser see a panel: the ticket in the printed link is exchanged for a session once. The session ends with
 * the process.
 */
export class TicketOffice {
  readonly ticket = randomBytes(24).toString("base64url")
  readonly #session = randomBytes(24).toString("base64url")
  /** Name of the cookie. Browsers do not tell ports apart, so each process has another one. */
  readonly #cookie = `maintenance_session_${randomBytes(4).toString("hex")}`
  readonly #viewer: Viewer
  #isUsed = false

  constructor(viewer: Viewer) {
    this.#viewer = viewer
  }

  /** The viewer of a request that has the session; undefined for any other. */
  viewerOf(request: Request): Viewer | undefined {
    const cookies = (request.headers.get("cookie") ?? "").split("; ")
    const session = cookies.find((cookie) => cookie.startsWith(`${this.#cookie}=`))
    return isSame(session?.slice(this.#cookie.length + 1) ?? "", this.#session) ? this.#viewer : undefined
  }

  /** Wraps a panel so that it also accepts the ticket. */
  inFrontOf(panel: Panel): Panel {
    return {
      fetch: async (request) => {
        if (this.viewerOf(request)) return panel.fetch(request)
        const ticket = new URL(request.url).searchParams.get("ticket")
        if (ticket === null || request.method !== "GET")
          return refusal(`Open the link that the command has printed. If it was opened before: ${another}`)
        if (this.#isUsed || !isSame(ticket, this.ticket))
          return refusal(`This link is not valid, or was used before. ${another}`)
        this.#isUsed = true
        // Not SameSite=Strict: a browser would not send it after a click on the link in another page. Forms have a token.
        const cookie = `${this.#cookie}=${this.#session}; HttpOnly; SameSite=Lax; Path=/`
        return new Response(null, {
          status: 303,
          headers: { ...headers, location: "/", "set-cookie": cookie },
        })
      },
      close: () => panel.close(),
    }
  }
}

/** The way to another link, on the page and in the terminal. */
export const another = "For a new link, stop the command with Ctrl-C and start it again."

function refusal(text: string): Response {
  return new Response(text, { status: 403, headers })
}

function isSame(given: string, secret: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(secret)]
  return one.length === other.length && timingSafeEqual(one, other)
}
