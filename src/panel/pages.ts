import type { Context } from "hono"
import {
  type MaintenanceControl,
  MaintenanceError,
  MaintenanceInputError,
  MaintenanceSetupError,
  StateUnavailableError,
} from "../index"
import { type Environment, type Viewer, viewersOnlyLook } from "./access"
import type { Actions } from "./actions"
import { tokenFor } from "./form-token"
import { guideFor, messageOf } from "./messages"
import { type Notice, type Outcomes, refusalOf, type SentForms } from "./outcomes"
import type { Settings } from "./settings"
import type { Sight, SightReader } from "./sight"
import type { Frame } from "./view/frame"
import { outagePage } from "./view/outage"
import { pageOf, type PageOptions, partsOf } from "./view/page"
import type { Html } from "./view/words"

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
  readonly outcomes: Outcomes
}

/** Makes the pages of the panel. */
export class Pages {
  readonly #maintenance: MaintenanceControl
  readonly #parts: PageParts

  constructor(maintenance: MaintenanceControl, parts: PageParts) {
    this.#maintenance = maintenance
    this.#parts = parts
  }

  /** Answers with the page, or with one that says why the state cannot be read. */
  async answer(context: Context<Environment>, status: Status, content: Content = {}): Promise<Response> {
    const frame = this.#frame(context, context.get("viewer"))
    const { title } = this.#parts.settings
    const before = beforeIn(context)
    const notice = this.#notice(context, frame, content)
    try {
      const sight = await this.#parts.reader.read(before)
      const values = content.values ?? this.#formsOf(sight, frame)
      const section = content.section?.(frame)
      return await context.html(pageOf(sight, frame, { values, section, title, before, notice }), status)
    } catch (error) {
      if (!(error instanceof MaintenanceError)) throw error
      const known = this.#maintenance.known
      // The details may name hosts and roles. A notice has them.
      const why = frame.viewer.role === "maintainer" && !notice ? messageOf(error) : undefined
      const isPassing = error instanceof StateUnavailableError
      const guide = guideFor(error)
      return context.html(
        outagePage({ title, frame, known, isPassing, notice: notice?.text, why, guide }),
        isPassing ? 503 : 500,
      )
    }
  }

  /** Answers with the page and the error for which nothing was changed. */
  refuse(context: Context<Environment>, error: MaintenanceError, content: Content): Promise<Response> {
    // The details may name hosts and roles.
    const isHidden = context.get("viewer").role === "viewer" && !(error instanceof MaintenanceInputError)
    return this.answer(context, statusOf(error), {
      ...content,
      refusal: isHidden ? "The state cannot be read now." : refusalOf(error),
      guide: guideFor(error),
    })
  }

  /** Returns a function that makes the parts of an open page that are kept current. */
  partsFor(context: Context<Environment>): (sight: Sight, viewer: Viewer) => Readonly<Record<string, Html>> {
    const isFirst = beforeIn(context) === undefined
    const frame = this.#frame(context, context.get("viewer"))
    return (sight, viewer) => {
      const current = { ...frame, ...this.#rights(viewer) }
      const notice = this.#parts.outcomes.failureOf(viewer.user)
      return partsOf(sight, current, { isFirst, notice, values: this.#formsOf(sight, current) })
    }
  }

  #notice(context: Context<Environment>, frame: Frame, { refusal, guide }: Content): Notice | undefined {
    const { outcomes } = this.#parts
    // It is over, whether it is shown or not.
    const done =
      context.req.method === "GET"
        ? outcomes.take({ user: frame.viewer.user, token: frame.token })
        : undefined
    if (refusal !== undefined) return { text: refusal, guide, isDone: false }
    return outcomes.failureOf(frame.viewer.user) ?? done
  }

  #formsOf({ report }: Sight, { viewer, token }: Frame): SentForms {
    return this.#parts.outcomes.formsOf(viewer.user, { token, windowId: report.windowId ?? "" })
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
