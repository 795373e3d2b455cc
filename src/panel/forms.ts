import type { Context } from "hono"
import {
  EnteringInterruptedError,
  type MaintenanceControl,
  MaintenanceError,
  MaintenanceInputError,
  OutcomeUnknownError,
  StateUnavailableError,
} from "../index"
import { type Environment, viewersOnlyLook } from "./access"
import type { Actions } from "./actions"
import { isOwnForm, tokenName } from "./form-token"
import type { Outcomes } from "./outcomes"
import type { Content, Pages } from "./pages"
import { type Values, windowModeIn } from "./form-values"
import { type Question, questionFor } from "./questions"
import { RateLimit, TooManyForms } from "./rate-limit"
import type { Settings } from "./settings"
import type { SightReader } from "./sight"
import { preflightSection } from "./view/blockers"
import { questionSection } from "./view/question"

/** Number of changes that a user may make in a minute, apart from those that end a window. */
const changesPerMinute = 30
/** Number of times that a user may ask for the blockers, or be asked, in a minute. */
const looksPerMinute = 60
/** Actions that end a window, from which nobody is kept. */
const unlimited = new Set(["leave", "break-off"])

/** The parts that the forms need. */
export interface FormParts {
  readonly maintenance: MaintenanceControl
  readonly settings: Settings
  readonly reader: SightReader
  readonly pages: Pages
  readonly actions: Actions
  readonly outcomes: Outcomes
  /** Called after a change. */
  refresh(): void
}

/** Takes the forms of the pages: checks that their senders may send them, asks, and acts. */
export class Forms {
  readonly #parts: FormParts
  readonly #changes = new RateLimit(changesPerMinute)
  readonly #looks = new RateLimit(looksPerMinute)

  constructor(parts: FormParts) {
    this.#parts = parts
  }

  /** Shows who would be waited for. */
  preflight(context: Context<Environment>): Promise<Response> {
    return this.#take(context, "preflight", (values, user) => this.#preflight(context, values, user))
  }

  /** Runs an action, or asks before. */
  async act(context: Context<Environment>, name: string): Promise<Response> {
    if (!this.#parts.actions.has(name)) return context.notFound()
    return this.#take(context, name, (values, user) => this.#act(context, name, { values, user }))
  }

  /** Shows the form of a question again, whose answer is no. */
  keep(context: Context<Environment>): Promise<Response> {
    return this.#take(context, "preflight", (values) =>
      this.#parts.pages.answer(
        context,
        200,
        values["mode"] === undefined ? {} : sectionsOf("switch", values),
      ),
    )
  }

  async #preflight(context: Context<Environment>, values: Values, user: string): Promise<Response> {
    const mode = windowModeIn(values)
    if (mode === undefined)
      throw new MaintenanceInputError("Choose concurrent or exclusive mode to see who would be waited for.")
    this.#looks.take(user)
    const blockers = await this.#parts.reader.blockersOf({ mode, as: user })
    return this.#parts.pages.answer(context, 200, {
      values: { switch: values },
      section: () => preflightSection(blockers, mode, this.#parts.settings.showsQueries),
    })
  }

  async #act(
    context: Context<Environment>,
    name: string,
    { values, user }: { readonly values: Values; readonly user: string },
  ): Promise<Response> {
    const { maintenance, settings, actions, outcomes, refresh } = this.#parts
    const question = await questionFor(maintenance, name, { user, values })
    outcomes.attempted(user)
    if (question) return this.#ask(context, question, { values, user })
    const isEnd = unlimited.has(name) || (name === "switch" && values["mode"] === "normal")
    if (!isEnd) this.#changes.take(user)
    const sender = { user, token: values[tokenName] ?? "" }
    outcomes.done(sender, await actions.run(name, user, values))
    refresh()
    return context.redirect(`${settings.base}/`, 303)
  }

  async #ask(
    context: Context<Environment>,
    question: Question,
    { values, user }: { readonly values: Values; readonly user: string },
  ): Promise<Response> {
    this.#looks.take(user)
    const { kind } = question
    const blockers =
      kind === "switch" ? await this.#parts.reader.blockersOf({ mode: question.mode, as: user }) : []
    return this.#parts.pages.answer(context, 200, {
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
      return this.#parts.pages.answer(context, 403, {
        ...sent,
        refusal:
          "Nothing was changed. The page was out of date, or another site sent the form. Check the mode, then send the form again.",
      })
    if (role !== "maintainer" && action !== "preflight")
      return this.#parts.pages.answer(context, 403, { refusal: `Nothing was changed. ${viewersOnlyLook}` })
    try {
      return await work(values, user)
    } catch (error) {
      if (error instanceof TooManyForms)
        return this.#parts.pages.answer(context, 429, { ...sent, refusal: error.message })
      if (!(error instanceof MaintenanceError)) throw error
      // This page may be gone before it is read.
      if (isUncertain(error) && role === "maintainer") this.#parts.outcomes.failed(user, error, sent.values)
      return this.#parts.pages.refuse(context, error, sent)
    }
  }
}

/** Whether the database may not have answered, so that pages are about an outage for a while. */
function isUncertain(error: MaintenanceError): boolean {
  return [StateUnavailableError, OutcomeUnknownError, EnteringInterruptedError].some(
    (Kind) => error instanceof Kind,
  )
}

/** The section of the page that shows the form of an action again. Other forms have too few fields to lose. */
function sectionsOf(action: string, values: Values): Pick<Content, "values"> {
  if (action === "announce") return { values: { announced: values } }
  return action === "switch" || action === "preflight" ? { values: { switch: values } } : {}
}

/** The fields of a form. Rejects if it cannot be read. */
async function valuesIn(context: Context): Promise<Values> {
  const form = await context.req.parseBody()
  const values = Object.fromEntries(
    Object.entries(form).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  )
  // The keyboard of a phone adds a space to a name that it completes.
  return values["to"] === undefined ? values : { ...values, to: values["to"].trim() }
}
