import { setTimeout as pause } from "node:timers/promises"
import {
  type DrainOptions,
  type DrainOutcome,
  type EnterOptions,
  type MaintenanceControl,
  MaintenanceInputError,
  type MaintenanceStatus,
  type Mode,
} from "../index"
import { keep, never, type Values } from "./view/switch"

/** Time to wait for an action before the page is answered while it goes on, in milliseconds. */
const answeredWithinMs = 400
/** Time for windows that are being entered to be abandoned when the panel is closed, in milliseconds. */
const closedWithinMs = 5000

type Action = (user: string, values: Values) => Promise<unknown>

/** A window that is being entered by this panel. */
interface Entering {
  readonly controller: AbortController
  /** Resolves when it is entered or not. */
  readonly isOver: Promise<unknown>
}

/** The actions of the panel. They throw what the control throws. */
export class Actions {
  readonly #control: MaintenanceControl
  /** Receives the failure of an action that went on after its page was answered. */
  readonly #fail: (user: string, error: unknown) => void
  /** The windows that users are entering here. */
  readonly #entering = new Map<string, Entering>()
  readonly #actions: ReadonlyMap<string, Action> = new Map<string, Action>([
    ["switch", (user, values) => this.#switch(user, values)],
    ["leave", (user, values) => this.#leave(user, values)],
    ["break-off", (user, values) => this.#breakOff(user, values)],
    ["extend", (user, values) => this.#extend(user, values)],
    ["transfer", (user, values) => this.#transfer(user, values)],
    ["announce", (user, values) => this.#announce(user, values)],
    ["cancel", (user, { id = "" }) => this.#control.cancel(id, { as: user })],
  ])

  constructor(control: MaintenanceControl, fail: (user: string, error: unknown) => void) {
    this.#control = control
    this.#fail = fail
  }

  /** Runs the action of this name; returns false if there is none. */
  async run(name: string, user: string, values: Values): Promise<boolean> {
    const action = this.#actions.get(name)
    await action?.(user, values)
    return action !== undefined
  }

  /** Whether this process is entering a window for a user. */
  isEntering(user: string): boolean {
    return this.#entering.has(user)
  }

  /** Abandons the windows that are being entered here, because nobody would wait for them any longer. */
  async close(): Promise<void> {
    const entering = [...this.#entering.values()]
    for (const { controller } of entering) controller.abort(new Error("The control panel was closed."))
    const over = Promise.all(entering.map(({ isOver }) => isOver))
    await Promise.race([over, pause(closedWithinMs, undefined, { ref: false })])
  }

  async #switch(user: string, values: Values): Promise<void> {
    const { mode } = values
    if (mode === "normal") return this.#leave(user, values)
    const status = await this.#shown(values)
    const isOwn = status.maintainer === user
    const options = enterOptionsOf(user, values, isOwn ? status : undefined)
    // enter() keeps the end of one's own window unless another is given.
    if (isOwn && values["expires"] === never && status.expiresAt) await this.#control.extend({ as: user })
    const controller = new AbortController()
    const entered = this.#control.enter(mode as Mode, { ...options, signal: controller.signal })
    const entering: Entering = { controller, isOver: entered.catch(() => undefined) }
    this.#entering.set(user, entering)
    void entering.isOver.then(() => {
      if (this.#entering.get(user) === entering) this.#entering.delete(user)
    })
    await this.#soon(entered, (error) => {
      if (!controller.signal.aborted) this.#fail(user, error)
    })
  }

  async #leave(user: string, values: Values): Promise<void> {
    const { mode, maintainer } = await this.#shown(values)
    if (mode === "normal")
      throw new MaintenanceInputError(
        "Nothing was changed. The mode is normal already. To cancel an announced window, use its Cancel button.",
      )
    // Otherwise leave() would cancel announced windows if the window has ended in the meantime.
    await this.#control.leave({ as: user, ifHeld: maintainer === user })
  }

  /** Restores the mode before the window that this process is entering. */
  async #breakOff(user: string, values: Values): Promise<void> {
    await this.#shown(values)
    const entering = this.#entering.get(user)
    if (!entering)
      throw new MaintenanceInputError(
        "Nothing was changed. This process is not entering a window for you. Check the mode; leave to end the window.",
      )
    entering.controller.abort(new Error("Broken off in the control panel."))
    await entering.isOver
  }

  async #extend(user: string, values: Values): Promise<void> {
    await this.#shown(values)
    const { expires = "" } = values
    if (expires === "")
      throw new MaintenanceInputError("Nothing was changed. Choose when the window ends by itself.")
    await this.#control.extend({ as: user, expiresInMs: expires === never ? undefined : Number(expires) })
  }

  async #transfer(user: string, values: Values): Promise<void> {
    await this.#shown(values)
    const transferred = this.#control.transfer({ as: user, to: values["to"] ?? "" })
    await this.#soon(transferred, (error) => this.#fail(user, error))
  }

  async #announce(user: string, values: Values): Promise<void> {
    const options = { ...enterOptionsOf(user, values), startsAt: startIn(values) }
    await this.#control.announce(values["mode"] as Mode, options)
  }

  /** Waits for a change for a short time. A later failure goes to `fail`. */
  async #soon(change: Promise<unknown>, fail: (error: unknown) => void): Promise<void> {
    const isOver = await Promise.race([change.then(() => true), pause(answeredWithinMs, false)])
    if (!isOver) change.catch(fail)
  }

  /**
   * Returns the status. Throws MaintenanceInputError if another window is in force than the one that the page has
   * shown: the person decided about something else.
   */
  async #shown({ windowId }: Values): Promise<MaintenanceStatus> {
    const status = await this.#control.status()
    if ((status.windowId ?? "") === windowId) return status
    throw new MaintenanceInputError(
      "Nothing was changed. The mode has changed since this page was loaded. Check the mode, then send the form again.",
    )
  }
}

/**
 * The options of a window in a form. `own` is the user's own window that it replaces, which keeps what is not given.
 * Throws MaintenanceInputError for what cannot be taken from it.
 */
function enterOptionsOf(user: string, values: Values, own?: MaintenanceStatus): EnterOptions {
  const { reason, message, expires, planned } = values
  for (const name of ["reason", "message"] as const) {
    if (own?.[name] !== undefined && values[name] === "")
      throw new MaintenanceInputError(
        `Nothing was changed. The ${name} of a window can be replaced, but not removed. To have none, leave, and enter again.`,
      )
  }
  return {
    as: user,
    reason: reason || undefined,
    message: message || undefined,
    expiresInMs: millisecondsIn(expires),
    plannedForMs: millisecondsIn(planned),
    drain: drainIn(values),
  }
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
