import { setTimeout as pause } from "node:timers/promises"
import {
  type DrainOptions,
  type DrainOutcome,
  type EnterOptions,
  type MaintenanceControl,
  MaintenanceInputError,
  StateUnavailableError,
  type MaintenanceReport,
  type MaintenanceWindow,
  type Mode,
} from "../index"
import { keep, never, type Values } from "./form-values"

/** Refusal of a form about another window than the one in force. */
const hasChanged =
  "Nothing was changed. The mode has changed since this page was loaded. Check what holds now."
/** Time to wait for an action before the page is answered while it goes on, in milliseconds. */
const answeredWithinMs = 400
/** Time for windows that are being entered to be abandoned when the panel is closed, in milliseconds. */
const closedWithinMs = 5000

/** Resolves with the outcome in words. */
type Action = (user: string, values: Values) => Promise<string>

/** A window that is being entered by this panel. */
interface Entering {
  readonly controller: AbortController
  /** Resolves with the reason why it was not entered; with undefined if it was. */
  readonly failure: Promise<unknown>
}

/** The actions of the panel. They throw what the control throws. */
export class Actions {
  readonly #control: MaintenanceControl
  /** Receives the failure of an action that went on after its page was answered. */
  readonly #fail: (user: string, error: unknown, values?: Values) => void
  #isClosed = false
  /** The windows that users are entering here. */
  readonly #entering = new Map<string, Entering>()
  readonly #actions: ReadonlyMap<string, Action> = new Map<string, Action>([
    ["switch", (user, values) => this.#switch(user, values)],
    ["leave", (user, values) => this.#leave(user, values)],
    ["break-off", (user, values) => this.#breakOff(user, values)],
    ["extend", (user, values) => this.#extend(user, values)],
    ["transfer", (user, values) => this.#transfer(user, values)],
    ["announce", (user, values) => this.#announce(user, values)],
    ["cancel", (user, { id = "" }) => this.#cancel(user, id)],
  ])

  constructor(control: MaintenanceControl, fail: (user: string, error: unknown, values?: Values) => void) {
    this.#control = control
    this.#fail = fail
  }

  /** Whether there is an action of this name. */
  has(name: string): boolean {
    return this.#actions.has(name)
  }

  /** Runs the action of this name, which exists; resolves with its outcome in words. */
  async run(name: string, user: string, values: Values): Promise<string> {
    return (this.#actions.get(name) as Action)(user, values)
  }

  /** Whether this process is entering a window for a user. */
  isEntering(user: string): boolean {
    return this.#entering.has(user)
  }

  /** Abandons the windows that are being entered here, because nobody would wait for them any longer. */
  async close(): Promise<void> {
    this.#isClosed = true
    const entering = [...this.#entering.values()]
    for (const { controller } of entering) controller.abort(new Error("The control panel was closed."))
    const over = Promise.all(entering.map(({ failure }) => failure))
    await Promise.race([over, pause(closedWithinMs, undefined, { ref: false })])
  }

  async #switch(user: string, values: Values): Promise<string> {
    const { mode } = values
    const status = await this.#shown(values)
    if (mode === "normal")
      return status.mode === "normal" ? "The mode is normal already." : this.#leave(user, values)
    const isOwn = status.maintainer === user
    const options = enterOptionsOf(user, values, status)
    // enter() keeps the end of one's own window unless another is given.
    const removesEnd = isOwn && values["expires"] === never && status.expiresAt !== undefined
    if (this.#isClosed) throw new MaintenanceInputError("Nothing was changed. The control panel was closed.")
    const controller = new AbortController()
    const entered = this.#control
      .enter(mode as Mode, { ...options, signal: controller.signal })
      .then(() => (removesEnd ? this.#control.extend({ as: user }) : undefined))
    const failure = entered.then(
      () => undefined,
      (error: unknown) => error,
    )
    const entering: Entering = { controller, failure }
    this.#entering.set(user, entering)
    void failure.then(() => {
      if (this.#entering.get(user) === entering) this.#entering.delete(user)
    })
    const isDone = await this.#soon(entered, (error) => {
      // Whoever breaks it off learns of it there.
      if (!controller.signal.aborted) this.#fail(user, error, values)
    })
    if (!isDone) return "The mode is being changed."
    const { maintainer } = status
    return isOwn || maintainer === undefined
      ? "The mode was changed."
      : `You have taken over from ${maintainer}.`
  }

  async #leave(user: string, values: Values): Promise<string> {
    const { mode, maintainer } = await this.#shown(values)
    if (mode === "normal")
      throw new MaintenanceInputError(
        "Nothing was changed. The mode is normal already. To cancel an announced window, use its Cancel button.",
      )
    // If the window has ended in the meantime, announced windows stay.
    await this.#control.leave({ as: user, ifHeld: maintainer === user, windowOnly: true })
    return "The window was ended."
  }

  /** Restores the mode before the window that this process is entering. */
  async #breakOff(user: string, values: Values): Promise<string> {
    const entering = this.#entering.get(user)
    await this.#shown(values).catch((error: unknown) => {
      // It is broken off without the database, too: the process gives up as soon as it can.
      if (!entering || !(error instanceof StateUnavailableError)) throw error
    })
    if (!entering)
      throw new MaintenanceInputError(
        "Nothing was changed. This process is not entering a window for you. Check the mode; leave to end the window.",
      )
    const brokenOff = new Error("Broken off in the control panel.")
    entering.controller.abort(brokenOff)
    const failure = await entering.failure
    if (failure === undefined)
      return "The window was entered before it could be broken off. To end it, leave."
    if (failure !== brokenOff) throw failure
    return "The window was abandoned. The mode is what it was before."
  }

  async #extend(user: string, values: Values): Promise<string> {
    await this.#shown(values)
    const { expires = "" } = values
    if (expires === "")
      throw new MaintenanceInputError("Nothing was changed. Choose when the window ends by itself.")
    await this.#control.extend({ as: user, expiresInMs: expires === never ? undefined : Number(expires) })
    return "The end of the window was changed."
  }

  async #transfer(user: string, values: Values): Promise<string> {
    await this.#shown(values)
    const { to = "" } = values
    const transferred = this.#control.transfer({ as: user, to })
    const isDone = await this.#soon(transferred, (error) => this.#fail(user, error))
    return isDone ? `The window was handed over to ${to}.` : `The window is being handed over to ${to}.`
  }

  async #announce(user: string, values: Values): Promise<string> {
    const options = { ...enterOptionsOf(user, values), startsAt: startIn(values) }
    const before = await this.#announced()
    await this.#control.announce(values["mode"] as Mode, options)
    const after = new Set((await this.#announced()).map(({ id }) => id))
    const replaced = before.filter(({ id }) => !after.has(id))
    if (replaced.length === 0) return "The window was announced."
    const which = replaced.map(({ mode, maintainer, reason }) =>
      [`${mode} mode by ${maintainer}`, reason && `“${reason}”`].filter(Boolean).join(", "),
    )
    return `The window was announced. It replaces: ${which.join("; ")}.`
  }

  async #cancel(user: string, id: string): Promise<string> {
    await this.#control.cancel(id, { as: user })
    return "The announced window was cancelled."
  }

  async #announced(): Promise<readonly MaintenanceWindow[]> {
    return (await this.#control.status()).windows.filter(({ position }) => position === "announced")
  }

  /** Waits for a change for a short time; returns whether it is done. A later failure goes to `fail`. */
  async #soon(change: Promise<unknown>, fail: (error: unknown) => void): Promise<boolean> {
    const isOver = await Promise.race([change.then(() => true), pause(answeredWithinMs, false)])
    if (!isOver) change.catch(fail)
    return isOver
  }

  /**
   * Returns the status. Throws MaintenanceInputError if another window is in force than the one that the page has
   * shown: the person decided about something else.
   */
  async #shown({ windowId }: Values): Promise<MaintenanceReport> {
    const status = await this.#control.status()
    if ((status.windowId ?? "") === windowId) return status
    throw new MaintenanceInputError(hasChanged)
  }
}

/**
 * The options of a window in a form. `current` is the window that it replaces: `enter()` keeps what is not given of the
 * user's own, and nothing of another's. Throws MaintenanceInputError for what cannot be taken from it.
 */
function enterOptionsOf(user: string, values: Values, current?: MaintenanceReport): EnterOptions {
  const { reason, message, expires, planned } = values
  const isOwn = current?.maintainer === user
  const other = isOwn ? undefined : current
  for (const name of ["reason", "message"] as const) {
    if (isOwn && current[name] !== undefined && values[name] === "")
      throw new MaintenanceInputError(
        `Nothing was changed. The ${name} of a window can be replaced, but not removed. To have none, leave, and enter again.`,
      )
  }
  return {
    as: user,
    reason: reason || undefined,
    message: message || undefined,
    expiresInMs: expires === keep ? leftUntil("expiresAt", other) : millisecondsIn(expires),
    plannedForMs: planned === keep ? leftUntil("plannedUntil", other) : millisecondsIn(planned),
    drain: drainIn(values),
  }
}

/**
 * The milliseconds until an end of a window that is taken over, by the clock of the database; undefined if it has none,
 * and for a plan that is overdue.
 */
function leftUntil(
  name: "expiresAt" | "plannedUntil",
  taken: MaintenanceReport | undefined,
): number | undefined {
  const end = taken?.[name]
  const { expiresAt, plannedUntil, retryAfterMs } = taken ?? {}
  // The time until the window expires, or else until it is planned to end.
  const known = expiresAt ?? plannedUntil
  if (!end || !known || retryAfterMs === undefined) return undefined
  const ms = end.getTime() - (known.getTime() - retryAfterMs)
  if (ms > 0) return ms
  if (name === "expiresAt") throw new MaintenanceInputError(hasChanged)
  return undefined
}

function drainIn({ drain, outcome }: Values): DrainOptions | undefined {
  if (!drain && !outcome) return undefined
  return { withinMs: millisecondsIn(drain), then: (outcome || undefined) as DrainOutcome | undefined }
}

/** The duration of a choice; undefined for `keep`, `never` and the default. */
function millisecondsIn(text: string | undefined): number | undefined {
  return !text || text === keep || text === never ? undefined : Number(text)
}

/** The start of an announced window, in the zone of the browser, or in UTC without the script. */
function startIn({ starts = "", zone }: Values): Date {
  const start = new Date(new Date(`${starts}Z`).getTime() + Number(zone || 0) * 60_000)
  if (Number.isNaN(start.getTime()))
    throw new MaintenanceInputError(
      "Nothing was announced. Give the date and time at which the window begins.",
    )
  return start
}
