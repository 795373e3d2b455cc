import { type Context, Hono } from "hono"
import { bodyLimit } from "hono/body-limit"
import { csrf } from "hono/csrf"
import { HTTPException } from "hono/http-exception"
import { secureHeaders } from "hono/secure-headers"
import type { MaintenanceControl } from "../index"
import { type Environment, viewerOf } from "./access"
import { Actions } from "./actions"
import { assetNamed } from "./assets"
import { isOwnOrigin } from "./form-token"
import { Forms } from "./forms"
import { LiveSight } from "./live"
import { Outcomes } from "./outcomes"
import { Pages } from "./pages"
import type { Settings } from "./settings"
import { SightReader } from "./sight"
import { Streams } from "./streams"
import { warn } from "./warn"

/** Largest form that is read, in bytes. */
const largestForm = 64 * 1024

/** Answer to a form that does not come from the panel. */
const foreignForm =
  "Nothing was changed. The form came from another site, or from another host than the one that the panel sees. " +
  "A proxy must pass the host on, in Host or X-Forwarded-Host."

/** The routes of the panel. */
export class PanelApplication {
  readonly #settings: Settings
  readonly #app = new Hono<Environment>()
  readonly #pages: Pages
  readonly #actions: Actions
  readonly #live: LiveSight
  readonly #streams: Streams
  readonly #forms: Forms
  #isClosed = false

  constructor(maintenance: MaintenanceControl, settings: Settings) {
    this.#settings = settings
    const refresh = () => this.#live.refresh()
    const reader = new SightReader(maintenance, refresh)
    this.#live = new LiveSight(maintenance, reader)
    this.#streams = new Streams(this.#live)
    const outcomes = new Outcomes()
    const actions = new Actions(maintenance, (user, error, values) => {
      outcomes.failed(user, error, values && { switch: values })
      refresh()
    })
    this.#actions = actions
    const pages = new Pages(maintenance, { reader, settings, actions, outcomes })
    this.#pages = pages
    this.#forms = new Forms({ maintenance, settings, reader, pages, actions, outcomes, refresh })
    this.#secure()
    this.#route()
  }

  async fetch(request: Request): Promise<Response> {
    if (this.#isClosed)
      return new Response("The control panel was closed.", { status: 503, headers: { "Retry-After": "5" } })
    const { base } = this.#settings
    const url = new URL(request.url)
    // A proxy, or the framework in which it is mounted, may have removed the base path.
    const isWhole = base !== "" && (url.pathname === base || url.pathname.startsWith(`${base}/`))
    if (isWhole) url.pathname = url.pathname.slice(base.length) || "/"
    return this.#app.fetch(isWhole ? new Request(url, request) : request, { received: request })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#live.close()
    await Promise.all([this.#streams.close(), this.#actions.close()])
  }

  #secure(): void {
    const app = this.#app
    app.onError((error, context) => {
      if (error instanceof HTTPException) return context.text(foreignForm, error.status)
      warn(error)
      return context.text("The control panel failed. The server's log says why.", 500)
    })
    app.notFound((context) => context.text("There is no such page.", 404))
    app.use(
      secureHeaders({
        contentSecurityPolicy: {
          defaultSrc: ["'none'"],
          styleSrc: ["'self'"],
          scriptSrc: ["'self'"],
          connectSrc: ["'self'"],
          formAction: ["'self'"],
          baseUri: ["'none'"],
          frameAncestors: ["'none'"],
        },
        xFrameOptions: "DENY",
        // Not "no-referrer", with which browsers send "Origin: null" with a form.
        referrerPolicy: "same-origin",
        // The application decides about the whole host.
        strictTransportSecurity: false,
      }),
    )
    app.use(async (context, next) => {
      context.header("Cache-Control", "no-store")
      const viewer = await viewerOf(this.#settings.authorize, context.env.received)
      if (!viewer) return context.text("You are not allowed to see this page.", 403)
      context.set("viewer", viewer)
      return next()
    })
  }

  #route(): void {
    const app = this.#app
    app.get("/assets/:name", (context) => asset(context))
    app.get("/", (context) => this.#pages.answer(context, 200))
    app.get("/events", (context) =>
      this.#streams.open(context, {
        viewer: () => viewerOf(this.#settings.authorize, context.env.received),
        parts: this.#pages.partsFor(context),
      }),
    )
    // A browser asks for the address of a form after a refusal that was its answer, for example.
    for (const path of ["/preflight", "/form", "/actions/:action"])
      app.get(path, (context) => context.redirect(`${this.#settings.base}/`, 303))
    const checks = [
      csrf({ origin: isOwnOrigin }),
      bodyLimit({
        maxSize: largestForm,
        onError: (context) => context.text("Nothing was changed. The form is too large.", 413),
      }),
    ] as const
    app.post("/preflight", ...checks, (context) => this.#forms.preflight(context))
    app.post("/form", ...checks, (context) => this.#forms.keep(context))
    app.post("/actions/:action", ...checks, (context) =>
      this.#forms.act(context, context.req.param("action")),
    )
    // Other methods of the same addresses.
    for (const [path, allowed] of [
      ["/", "GET, HEAD"],
      ["/events", "GET, HEAD"],
      ["/assets/:name", "GET, HEAD"],
      ["/preflight", "GET, HEAD, POST"],
      ["/form", "GET, HEAD, POST"],
      ["/actions/:action", "GET, HEAD, POST"],
    ] as const)
      app.all(path, (context) => context.text("This method is not allowed here.", 405, { Allow: allowed }))
  }
}

function asset(context: Context<Environment>): Response | Promise<Response> {
  const found = assetNamed(context.req.param("name") ?? "")
  if (!found) return context.notFound()
  return context.body(found.text, 200, {
    "Content-Type": found.type,
    // Its name changes with its content.
    "Cache-Control": "private, max-age=31536000, immutable",
  })
}
