import { type Context, Hono } from "hono"
import { bodyLimit } from "hono/body-limit"
import { csrf } from "hono/csrf"
import { HTTPException } from "hono/http-exception"
import { secureHeaders } from "hono/secure-headers"
import { type MaintenanceControl, MaintenanceError, MaintenanceInputError } from "../index"
import { type Environment, viewerOf, viewersOnlyLook } from "./access"
import { Actions } from "./actions"
import { assetNamed } from "./assets"
import { isOwnForm, isOwnOrigin, tokenName } from "./form-token"
import { LiveSight } from "./live"
import { type Content, Pages } from "./pages"
import { type Question, questionFor, windowModeIn } from "./questions"
import { RateLimit, TooManyForms } from "./rate-limit"
import type { Settings } from "./settings"
import { SightReader } from "./sight"
import { Streams } from "./streams"
import { preflightSection } from "./view/blockers"
import { questionSection } from "./view/question"
import type { Values } from "./view/switch"
import { warn } from "./warn"

/** Number of changes that a user may make in a minute, apart from those that end a window. */
const changesPerMinute = 30
/** Number of times that a user may ask for the blockers, or be asked, in a minute. */
const looksPerMinute = 60
/** Actions that nobody is kept from. */
const unlimited = new Set(["leave", "break-off"])
/** Largest form that is read, in bytes. */
const largestForm = 64 * 1024

/** The routes of the panel. */
export class PanelApplication {
  readonly #maintenance: MaintenanceControl
  readonly #settings: Settings
  readonly #app = new Hono<Environment>()
  readonly #pages: Pages
  readonly #actions: Actions
  readonly #reader: SightReader
  readonly #live: LiveSight
  readonly #streams: Streams
  readonly #changes = new RateLimit(changesPerMinute)
  readonly #looks = new RateLimit(looksPerMinute)
  #isClosed = false

  constructor(maintenance: MaintenanceControl, settings: Settings) {
    this.#maintenance = maintenance
    this.#settings = settings
    this.#reader = new SightReader(maintenance, () => this.#live.refresh())
    this.#live = new LiveSight(maintenance, this.#reader)
    this.#streams = new Streams(this.#live)
    this.#actions = new Actions(maintenance, (user, error, values) => {
      this.#pages.failed(user, error, values)
      this.#live.refresh()
    })
    this.#pages = new Pages(maintenance, { reader: this.#reader, settings, actions: this.#actions })
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
      if (error instanceof HTTPException)
        return context.text("Nothing was changed. Another site sent the form.", error.status)
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
    for (const path of ["/preflight", "/actions/:action"])
      app.get(path, (context) => context.redirect(`${this.#settings.base}/`, 303))
    const checks = [
      csrf({ origin: isOwnOrigin }),
      bodyLimit({
        maxSize: largestForm,
        onError: (context) => context.text("Nothing was changed. The form is too large.", 413),
      }),
    ] as const
    app.post("/preflight", ...checks, (context) =>
      this.#take(context, "preflight", (values, user) => this.#preflight(context, values, user)),
    )
    app.post("/actions/:action", ...checks, (context) => {
      const name = context.req.param("action")
      if (!this.#actions.has(name)) return context.notFound()
      return this.#take(context, name, (values, user) => this.#act(context, name, { values, user }))
    })
    // Other methods of the same addresses.
    for (const [path, allowed] of [
      ["/", "GET, HEAD"],
      ["/events", "GET, HEAD"],
      ["/assets/:name", "GET, HEAD"],
      ["/preflight", "GET, HEAD, POST"],
      ["/actions/:action", "GET, HEAD, POST"],
    ] as const)
      app.all(path, (context) => context.text("This method is not allowed here.", 405, { Allow: allowed }))
  }

  async #preflight(context: Context<Environment>, values: Values, user: string): Promise<Response> {
    const mode = windowModeIn(values)
    if (mode === undefined)
      throw new MaintenanceInputError("Choose concurrent or exclusive mode to see who would be waited for.")
    this.#looks.take(user)
    const blockers = await this.#reader.blockersOf({ mode, as: user })
    return this.#pages.answer(context, 200, {
      values: { switch: values },
      section: () => preflightSection(blockers, mode, this.#settings.showsQueries),
    })
  }

  /** Runs an action, or asks before. */
  async #act(
    context: Context<Environment>,
    name: string,
    { values, user }: { readonly values: Values; readonly user: string },
  ): Promise<Response> {
    const question = await questionFor(this.#maintenance, name, { user, values })
    if (question) return this.#ask(context, question, { values, user })
    if (!unlimited.has(name)) this.#changes.take(user)
    this.#pages.attempted(user)
    this.#pages.done(user, await this.#actions.run(name, user, values))
    this.#live.refresh()
    return context.redirect(`${this.#settings.base}/?done=${name}`, 303)
  }

  async #ask(
    context: Context<Environment>,
    question: Question,
    { values, user }: { readonly values: Values; readonly user: string },
  ): Promise<Response> {
    this.#looks.take(user)
    const { kind } = question
    const blockers = kind === "switch" ? await this.#reader.blockersOf({ mode: question.mode, as: user }) : []
    return this.#pages.answer(context, 200, {
      ...sectionsOf(kind, values),
      section: (frame) => questionSection(question, { values, blockers }, frame),
    })
  }

  /** Reads the form of an action, checks that its sender may send it, and runs the work. */
  async #take(
    context: Context<Environment>,
    action: string,
    work: (values: Values, user: string) => Promise<Response>,
  ): Promise<Response> {
    const values = await valuesIn(context).catch(() => undefined)
    if (!values) return context.text("Nothing was changed. The form cannot be read.", 400)
    const { user, role } = context.get("viewer")
    const sent = sectionsOf(action, values)
    if (!isOwnForm(context, values[tokenName]))
      return this.#pages.answer(context, 403, {
        ...sent,
        refusal:
          "Nothing was changed. The page was out of date, or another site sent the form. Check the mode, then send the form again.",
      })
    if (role !== "maintainer" && action !== "preflight")
      return this.#pages.answer(context, 403, { refusal: `Nothing was changed. ${viewersOnlyLook}` })
    try {
      return await work(values, user)
    } catch (error) {
      if (error instanceof TooManyForms)
        return this.#pages.answer(context, 429, { ...sent, refusal: error.message })
      if (!(error instanceof MaintenanceError)) throw error
      return this.#pages.refuse(context, error, sent)
    }
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

/** The section of the page that shows the form of an action again. Other forms have too few fields to lose. */
function sectionsOf(action: string, values: Values): Pick<Content, "values"> {
  if (action === "announce") return { values: { announced: values } }
  return action === "switch" || action === "preflight" ? { values: { switch: values } } : {}
}

/** The fields of a form. Rejects if it cannot be read. */
async function valuesIn(context: Context): Promise<Values> {
  const form = await context.req.parseBody()
  return Object.fromEntries(
    Object.entries(form).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  )
}
