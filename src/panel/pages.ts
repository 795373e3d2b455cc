import type { Context } from "hono"
import {
  type MaintenanceControl,
  type MaintenanceError,
  MaintenanceInputError,
  StateUnavailableError,
  WindowEndedError,
} from "../index"
import type { Environment, Viewer } from "./access"
import { tokenFor } from "./form-token"
import type { Settings } from "./settings"
import type { Sight, SightReader } from "./sight"
import type { Frame } from "./view/frame"
import { outagePage } from "./view/outage"
import { type Notice, pageOf, type PageOptions, partsOf } from "./view/page"
import type { Html } from "./view/words"

/** Time for which a failure is shown, in milliseconds. */
const shownForMs = 900_000

/** Status codes of pages. */
export type Status = 200 | 403 | 409 | 422 | 429 | 503

/** Content of a page besides the state. */
type Content = Pick<PageOptions, "values" | "preflight"> & {
  /** The reason why nothing was changed. */
  readonly refusal?: string
}

interface Failure {
  readonly text: string
  readonly at: Date
}

/** Makes the pages of the panel. */
export class Pages {
  readonly #maintenance: MaintenanceControl
  readonly #reader: SightReader
  readonly #settings: Settings
  /** The last failure of each user's action that went on after its page was answered. */
  readonly #failures = new Map<string, Failure>()

  constructor(maintenance: MaintenanceControl, reader: SightReader, settings: Settings) {
    this.#maintenance = maintenance
    this.#reader = reader
    this.#settings = settings
  }

  /** Answers with the page, or with one that says that the database does not answer. */
  async answer(context: Context<Environment>, status: Status, content: Content = {}): Promise<Response> {
    const frame = this.#frame(context, context.get("viewer"))
    const { title } = this.#settings
    const before = context.req.query("before")
    try {
      const sight = await this.#reader.read(before)
      const notice = this.#notice(context, frame, content.refusal)
      return await context.html(pageOf(sight, frame, { ...content, title, before, notice }), status)
    } catch (error) {
      if (!(error instanceof StateUnavailableError)) throw error
      const known = this.#maintenance.known
      return context.html(outagePage({ title, frame, text: content.refusal ?? messageOf(error), known }), 503)
    }
  }

  /** Returns a function that makes the parts of an open page that are kept current. */
  partsFor(context: Context<Environment>): (sight: Sight, viewer: Viewer) => Readonly<Record<string, Html>> {
    const isFirst = context.req.query("before") === undefined
    const frame = this.#frame(context, context.get("viewer"))
    return (sight, viewer) => {
      const current = { ...frame, ...this.#rights(viewer) }
      return partsOf(sight, current, { isFirst, notice: this.#failure(viewer.user) })
    }
  }

  /** Records the failure of an action that went on after its page was answered. */
  failed(user: string, error: unknown): void {
    // Whoever broke it off knows that.
    if (error instanceof WindowEndedError && error.endedBy === user) return
    this.#failures.set(user, { text: messageOf(error), at: new Date() })
  }

  /** Forgets a user's last failure, because the user does something else. */
  attempted(user: string): void {
    this.#failures.delete(user)
  }

  #notice(context: Context, { viewer }: Frame, refusal: string | undefined): Notice | undefined {
    if (refusal !== undefined) return { text: refusal, isDone: false }
    const text = doneTexts[context.req.query("done") ?? ""]
    return this.#failure(viewer.user) ?? (text === undefined ? undefined : { text, isDone: true })
  }

  #failure(user: string): Notice | undefined {
    const failure = this.#failures.get(user)
    if (failure === undefined || failure.at.getTime() < Date.now() - shownForMs) return undefined
    return { ...failure, isDone: false }
  }

  #frame(context: Context, viewer: Viewer): Frame {
    const { base, showsQueries } = this.#settings
    return { base, token: tokenFor(context, base || "/"), showsQueries, ...this.#rights(viewer) }
  }

  #rights(viewer: Viewer): Pick<Frame, "viewer" | "whyNot"> {
    const { emergencyUsers = [] } = this.#maintenance.connectOptions
    return {
      viewer,
      whyNot(maintainer) {
        if (viewer.role === "viewer") return "You may look at this page, but not change anything."
        if (maintainer === undefined || maintainer === viewer.user) return undefined
        return emergencyUsers.includes(viewer.user)
          ? undefined
          : `Only ${maintainer} and emergency users can change this.`
      },
    }
  }
}

/** The outcomes of the actions, in words. */
const doneTexts: Readonly<Record<string, string>> = {
  switch: "Done. The mode is shown below.",
  leave: "The window was ended.",
  "break-off": "Entering was broken off.",
  extend: "The end of the window was changed.",
  transfer: "The window was handed over.",
  announce: "The window was announced.",
  cancel: "The announced window was cancelled.",
}

/** The status code for an error. */
export function statusOf(error: MaintenanceError): Status {
  if (error instanceof MaintenanceInputError) return 422
  return error instanceof StateUnavailableError ? 503 : 409
}

/** The text of an error, with its details for operators. */
export function messageOf(error: unknown): string {
  const { detailedMessage, message } = error as { detailedMessage?: string; message: string }
  return detailedMessage ?? message
}
