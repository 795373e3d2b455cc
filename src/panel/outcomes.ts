import { StateUnavailableError, WindowEndedError } from "../index"
import { tokenName } from "./form-token"
import type { Values } from "./form-values"
import { guideFor, messageOf } from "./messages"

/** A sentence at the top of the page: the outcome of an action, or the reason why there is none. */
export interface Notice {
  readonly text: string
  readonly isDone: boolean
  /** Address of the guide that says what to do. */
  readonly guide?: string | undefined
  /** Time of a failure that is kept. */
  readonly at?: Date
}

/** Forms as they were sent, by the names of their sections. */
export interface SentForms {
  readonly switch?: Values
  readonly announced?: Values
}

/** The outcome of an action in words. */
interface Outcome {
  readonly text: string
  readonly at: number
}

/** A user in a browser, which its token tells from others. */
interface Sender {
  readonly user: string
  readonly token: string
}

/** A failure that is kept until the user does something else. */
export interface Failure extends Notice {
  readonly at: Date
  readonly forms: SentForms
}

/** Time for which a failure is shown, in milliseconds. */
const shownForMs = 300_000
/** Time for a browser to load the page to which an action leads, in milliseconds. */
const followedWithinMs = 30_000
/** Number of outcomes that wait to be shown. */
const mostOutcomes = 1000

/** The outcomes of actions, for the pages that show them. */
export class Outcomes {
  /** The last failure of each user that a page must show which was not its answer. */
  readonly #failures = new Map<string, Failure>()
  /** The outcome of the last action of each user in each browser, until a page has shown it. */
  readonly #done = new Map<string, Outcome>()

  /** Records a failure that the user must see on the next pages, with the form that was sent. */
  failed(user: string, error: unknown, forms: SentForms = {}): void {
    // Whoever ended the window knows that.
    if (error instanceof WindowEndedError && error.endedBy === user) return
    this.#failures.set(user, {
      text: refusalOf(error),
      guide: guideFor(error),
      isDone: false,
      at: new Date(),
      forms,
    })
  }

  /** Forgets a user's last failure, because the user does something else. */
  attempted(user: string): void {
    this.#failures.delete(user)
  }

  /** Records the outcome of an action, for the user's next page in this browser. */
  done(sender: Sender, text: string): void {
    const key = keyOf(sender)
    this.#done.delete(key)
    this.#done.set(key, { text, at: Date.now() })
    const [oldest] = this.#done.keys()
    if (oldest !== undefined && this.#done.size > mostOutcomes) this.#done.delete(oldest)
  }

  /** Returns the outcome of the last action, once. */
  take(sender: Sender): Notice | undefined {
    const key = keyOf(sender)
    const outcome = this.#done.get(key)
    this.#done.delete(key)
    // A later page would claim what may hold no longer.
    if (!outcome || outcome.at < Date.now() - followedWithinMs) return undefined
    return { text: outcome.text, isDone: true }
  }

  /** The failure that a user must see. */
  failureOf(user: string): Failure | undefined {
    const failure = this.#failures.get(user)
    if (failure && failure.at.getTime() >= Date.now() - shownForMs) return failure
    this.#failures.delete(user)
    return undefined
  }

  /**
   * The forms of that failure, if this browser has sent them, and the same window is in force as then: they would
   * otherwise be about something else.
   */
  formsOf(
    user: string,
    { token, windowId }: { readonly token: string; readonly windowId: string },
  ): SentForms {
    const { forms = {} } = this.failureOf(user) ?? {}
    const isOwn = (values: Values) =>
      values[tokenName] === token && (values["windowId"] ?? windowId) === windowId
    return Object.values(forms).every(isOwn) ? forms : {}
  }
}

function keyOf({ user, token }: Sender): string {
  return `${token} ${user}`
}

/** The text of the error for which an action was not done. */
export function refusalOf(error: unknown): string {
  const text = messageOf(error)
  const isToldSo =
    !(error instanceof StateUnavailableError) || /^(Mode not changed|Nothing was changed)/.test(text)
  return isToldSo ? text : `Nothing was changed. ${text}`
}
