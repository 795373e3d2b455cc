import type { Context } from "hono"
import {
  type MaintenanceControl,
  MaintenanceError,
  MaintenanceInputError,
  MaintenanceSetupError,
  StateUnavailableError,
  WindowEndedError,
} from "../index"
import { type Environment, type Viewer, viewersOnlyLook } from "./access"
import type { Actions } from "./actions"
import { tokenFor } from "./form-token"
import type { Values } from "./form-values"
import { guideFor, messageOf } from "./messages"
import type { Settings } from "./settings"
import type { Sight, SightReader } from "./sight"
import type { Frame } from "./view/frame"
import { outagePage } from "./view/outage"
import { type Failure, type Notice, pageOf, type PageOptions, partsOf } from "./view/page"
import type { Html } from "./view/words"

/** Time for which a failure is shown, in milliseconds. */
const shownForMs = 300_000

/** Status codes of pages. */
export type Status = 200 | 403 | 409 | 422 | 429 | 500 | 503

/** Content of a page besides the state. */
export type Content = Pick<PageOptions, "values"> & {
  /** Makes a section that this page alone has. */
  readonly section?: ((frame: Frame) => Html) | undefined
  /** The reason why nothing was changed. */
  readonly refusal?: string
  /** Address of the guide that says what to do. */
  readonly guide?: string | undefined
}

interface PageParts {
  readonly reader: SightReader
  readonly settings: Settings
  readonly actions: Pick<Actions, "isEntering">
}

/** Makes the pages of the panel. */
export class Pages {
  readonly #maintenance: MaintenanceControl
  readonly #parts: PageParts
  /** The last failure of each user's action that went on after its page was answered. */
  readonly #failures = new Map<string, Failure>()
  /** The outcome of each user's last action, until a page has shown it. */
  readonly #outcomes = new Map<string, string>()

  constructor(maintenance: MaintenanceControl, parts: PageParts) {
    this.#maintenance = maintenance
    this.#parts = parts
  }

  /** Answers with the page, or with one that says why the state cannot be read. */
  async answer(context: Context<Environment>, status: Status, content: Content = {}): Promise<Response> {
    const frame = this.#frame(context, context.get("viewer"))
    const { title } = this.#parts.settings
    const before = beforeIn(context)
    try {
      const sight = await this.#parts.reader.read(before)
      const notice = this.#notice(context, sight, content)
      const values = content.values ?? { switch: this.#failure(frame.viewer.user)?.values }
      const section = content.section?.(frame)
      return await context.html(pageOf(sight, frame, { values, section, title, before, notice }), status)
    } catch (error) {
      if (!(error instanceof MaintenanceError)) throw error
      const known = this.#maintenance.known
      // The details may name hosts and roles.
      const why = frame.viewer.role === "maintainer" ? messageOf(error) : undefined
      const isPassing = error instanceof StateUnavailableError
      return context.html(
        outagePage({ title, frame, known, isPassing, notice: content.refusal, why, guide: guideFor(error) }),
        isPassing ? 503 : 500,
      )
    }
  }

  /** Answers with the page and the error for which nothing was changed. */
  refuse(context: Context<Environment>, error: MaintenanceError, content: Content): Promise<Response> {
    return this.answer(context, statusOf(error), {
      ...content,
      refusal: messageOf(error),
      guide: guideFor(error),
    })
  }

  /** Returns a function that makes the parts of an open page that are kept current. */
  partsFor(context: Context<Environment>): (sight: Sight, viewer: Viewer) => Readonly<Record<string, Html>> {
    const isFirst = beforeIn(context) === undefined
    const frame = this.#frame(context, context.get("viewer"))
    return (sight, viewer) =>
      partsOf(sight, { ...frame, ...this.#rights(viewer) }, { isFirst, notice: this.#failure(viewer.user) })
  }

  /** Records the failure of an action that went on after its page was answered. */
  failed(user: string, error: unknown, values?: Values): void {
    // Whoever ended the window knows that.
    if (error instanceof WindowEndedError && error.endedBy === user) return
    this.#failures.set(user, {
      text: messageOf(error),
      guide: guideFor(error),
      isDone: false,
      at: new Date(),
      values,
    })
  }

  /** Forgets a user's last failure, because the user does something else. */
  attempted(user: string): void {
    this.#failures.delete(user)
  }

  /** Records the outcome of an action in words, for the next page. */
  done(user: string, text: string | undefined): void {
    if (text === undefined) this.#outcomes.delete(user)
    else this.#outcomes.set(user, text)
  }

  #notice(context: Context<Environment>, { report }: Sight, { refusal, guide }: Content): Notice | undefined {
    if (refusal !== undefined) return { text: refusal, guide, isDone: false }
    const { user } = context.get("viewer")
    const failure = this.#failure(user)
    if (failure) return failure
    const done = context.req.query("done") ?? ""
    // A link on another site may name an outcome, too.
    const isFollowed = ["same-origin", undefined].includes(context.req.header("sec-fetch-site"))
    if (done === "" || !isFollowed) return undefined
    const outcome = this.#outcomes.get(user)
    this.#outcomes.delete(user)
    // The heading tells it.
    if (outcome === undefined && done === "switch" && report.state === "entering") return undefined
    const text = outcome ?? doneTexts.get(done)
    return text === undefined ? undefined : { text, isDone: true }
  }

  #failure(user: string): Failure | undefined {
    const failure = this.#failures.get(user)
    if (failure && failure.at.getTime() >= Date.now() - shownForMs) return failure
    this.#failures.delete(user)
    return undefined
  }

  #frame(context: Context, viewer: Viewer): Frame {
    const { base, showsQueries } = this.#parts.settings
    return { base, token: tokenFor(context, base || "/"), showsQueries, ...this.#rights(viewer) }
  }

  #rights(viewer: Viewer): Pick<Frame, "viewer" | "whyNot" | "isEntering"> {
    const { emergencyUsers = [] } = this.#maintenance.connectOptions
    return {
      viewer,
      isEntering: this.#parts.actions.isEntering(viewer.user),
      whyNot(maintainer) {
        if (viewer.role === "viewer") return viewersOnlyLook
        if (maintainer === undefined || maintainer === viewer.user) return undefined
        return emergencyUsers.includes(viewer.user)
          ? undefined
          : `Only ${maintainer} and emergency users can change this.`
      },
    }
  }
}

/** The outcomes of the actions, in words. */
const doneTexts: ReadonlyMap<string, string> = new Map([
  ["switch", "The mode was changed."],
  ["leave", "The window was ended."],
  ["break-off", "The window was abandoned. The mode is what it was before."],
  ["extend", "The end of the window was changed."],
  ["transfer", "The window was handed over."],
  ["announce", "The window was announced."],
  ["cancel", "The announced window was cancelled."],
])

/** The id of the window that the page of the journal follows; undefined for the first page. */
function beforeIn(context: Context): string | undefined {
  const before = context.req.query("before")
  return before !== undefined && /^[\x21-\x7e]{1,200}$/.test(before) ? before : undefined
}

/** The status code for an error. */
function statusOf(error: MaintenanceError): Status {
  if (error instanceof MaintenanceInputError) return 422
  if (error instanceof StateUnavailableError) return 503
  return error instanceof MaintenanceSetupError ? 500 : 409
}
