import { type Context, Hono } from "hono"
import { bodyLimit } from "hono/body-limit"
import { csrf } from "hono/csrf"
import { HTTPException } from "hono/http-exception"
import { secureHeaders } from "hono/secure-headers"
import { type MaintenanceControl, MaintenanceError } from "../index"
import { type Environment, viewerOf } from "./access"
import { Actions } from "./actions"
import { assetNamed } from "./assets"
import { isOwnForm, tokenName } from "./form-token"
import { LiveSight } from "./live"
import { messageOf, Pages, statusOf } from "./pages"
import { RateLimit } from "./rate-limit"
import type { Settings } from "./settings"
import { SightReader } from "./sight"
import { Streams } from "./streams"
import { preflightSection } from "./view/blockers"
import type { Values } from "./view/switch"

/** Number of changes that a user may make in a minute. */
const changesPerMinute = 30
/** Largest form that is read, in bytes. */
const largestForm = 64 * 1024

/** The routes of the panel. */
export class PanelApplication {
  readonly #maintenance: MaintenanceControl
  readonly #settings: Settings
  readonly #app = new Hono<Environment>()
  readonly #pages: Pages
  readonly #actions: Actions
  readonly #live: LiveSight
  readonly #streams: Streams
  readonly #limit = new RateLimit(changesPerMinute)

  constructor(maintenance: MaintenanceControl, settings: Settings) {
    this.#maintenance = maintenance
    this.#settings = settings
    const reader = new SightReader(maintenance)
    this.#live = new LiveSight(maintenance, reader)
    this.#pages = new Pages(maintenance, reader, settings)
    this.#streams = new Streams(this.#live)
    this.#actions = new Actions(maintenance, (user, error) => {
      this.#pages.failed(user, error)
      this.#live.refresh()
    })
    this.#route()
  }

  async fetch(request: Request): Promise<Response> {
    const { base } = this.#settings
    const url = new URL(request.url)
    // A proxy, or the framework in which it is mounted, may have removed the base path.
    const isWhole = base !== "" && (url.pathname === base || url.pathname.startsWith(`${base}/`))
    if (isWhole) url.pathname = url.pathname.slice(base.length) || "/"
    return this.#app.fetch(isWhole ? new Request(url, request) : request)
  }

  async close(): Promise<void> {
    await this.#streams.close()
    this.#live.close()
  }

  #route(): void {
    const app = this.#app
    app.onError((error, context) => {
      if (error instanceof HTTPException)
        return context.text("Nothing was changed: the form was sent by another site.", error.status)
      process.emitWarning(`The control panel failed: ${error.stack ?? String(error)}`, "MaintenanceWarning")
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
        referrerPolicy: "no-referrer",
        // The application decides about the whole host.
        strictTransportSecurity: false,
      }),
    )
    app.use(async (context, next) => {
      context.header("Cache-Control", "no-store")
      const viewer = await viewerOf(this.#settings.authorize, context.req.raw)
      if (!viewer) return context.text("You may not see this page.", 403)
      context.set("viewer", viewer)
      return next()
    })
    app.get("/assets/:name", (context) => asset(context))
    app.get("/", (context) => this.#pages.answer(context, 200))
    app.get("/events", (context) =>
      this.#streams.open(context, {
        viewer: () => viewerOf(this.#settings.authorize, context.req.raw),
        parts: this.#pages.partsFor(context),
      }),
    )
    const form = bodyLimit({
      maxSize: largestForm,
      onError: (context) => context.text("Nothing was changed: the form is too large.", 413),
    })
    app.post("/preflight", csrf(), form, (context) => this.#preflight(context))
    app.post("/actions/:action", csrf(), form, (context) => this.#act(context))
  }

  /** Shows who would be waited for, and keeps the form. */
  async #preflight(context: Context<Environment>): Promise<Response> {
    const values = await valuesIn(context)
    if (!isOwnForm(context, values[tokenName])) return this.#stale(context)
    const { user } = context.get("viewer")
    const mode = values["mode"] === "concurrent" ? "concurrent" : "exclusive"
    try {
      const blockers = await this.#maintenance.blockers({ mode, as: user })
      const preflight = preflightSection(blockers, mode, this.#settings.showsQueries)
      return await this.#pages.answer(context, 200, { values: { switch: { ...values, mode } }, preflight })
    } catch (error) {
      return this.#refuse(context, error, values)
    }
  }

  async #act(context: Context<Environment>): Promise<Response> {
    const name = context.req.param("action") ?? ""
    const values = await valuesIn(context)
    if (!isOwnForm(context, values[tokenName])) return this.#stale(context)
    const { user, role } = context.get("viewer")
    if (role !== "maintainer")
      return this.#pages.answer(context, 403, {
        refusal: "You may look at this page, but not change anything.",
      })
    if (!this.#limit.allows(user))
      return this.#pages.answer(context, 429, {
        refusal: `Nothing was changed: you have made ${changesPerMinute} changes within a minute. Wait a minute.`,
        values: { [sectionOf(name)]: values },
      })
    try {
      this.#pages.attempted(user)
      const isKnown = await this.#actions.run(name, user, values)
      if (!isKnown) return context.notFound()
      this.#live.refresh()
      return context.redirect(`${this.#settings.base}/?done=${name}`, 303)
    } catch (error) {
      return this.#refuse(context, error, values)
    }
  }

  #stale(context: Context<Environment>): Promise<Response> {
    return this.#pages.answer(context, 403, {
      refusal:
        "Nothing was changed: this page was too old, or another site sent the form. Decide again, and send it again.",
    })
  }

  async #refuse(context: Context<Environment>, error: unknown, values: Values): Promise<Response> {
    if (!(error instanceof MaintenanceError)) throw error
    return this.#pages.answer(context, statusOf(error), {
      refusal: messageOf(error),
      values: { [sectionOf(context.req.param("action"))]: values },
    })
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

/** The section of the page to which the form of an action belongs. */
function sectionOf(action: string | undefined): "announced" | "switch" {
  return action === "announce" ? "announced" : "switch"
}

/** The fields of a form. */
async function valuesIn(context: Context): Promise<Values> {
  const form = await context.req.parseBody()
  return Object.fromEntries(
    Object.entries(form).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  )
}
