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
import { keep, type Values } from "./view/switch"

/** Time to wait for a window to be entered before the page shows that it is being entered, in milliseconds. */
const enteredWithinMs = 400

type Action = (user: string, values: Values) => Promise<unknown>

/** The actions of the panel. They throw what the control throws. */
export class Actions {
  readonly #control: MaintenanceControl
  /** Receives the failure of an action that went on after its page was answered. */
  readonly #fail: (user: string, error: unknown) => void
  /** Breaks off the entering that each user began here. */
  readonly #entering = new Map<string, AbortController>()
  readonly #actions: Readonly<Record<string, Action>> = {
    switch: (user, values) => this.#switch(user, values),
    leave: (user, values) => this.#leave(user, values),
    "break-off": (user, values) => this.#breakOff(user, values),
    extend: (user, values) => this.#extend(user, values),
    transfer: (user, values) => this.#transfer(user, values),
    announce: (user, values) => this.#announce(user, values),
    cancel: (user, { id = "" }) => this.#control.cancel(id, { as: user }),
  }

  constructor(control: MaintenanceControl, fail: (user: string, error: unknown) => void) {
    this.#control = control
    this.#fail = fail
  }

  /** Runs the action of this name; returns false if there is none. */
  async run(name: string, user: string, values: Values): Promise<boolean> {
    const action = Object.hasOwn(this.#actions, name) ? this.#actions[name] : undefined
    await action?.(user, values)
    return action !== undefined
  }

  async #switch(user: string, values: Values): Promise<void> {
    const { mode } = values
    if (mode === "normal") return this.#leave(user, values)
    const status = await this.#shown(values)
    const breaking = new AbortController()
    const options = { ...enterOptionsOf(user, values, status), signal: breaking.signal }
    this.#entering.set(user, breaking)
    const entering = this.#control.enter(mode as Mode, options).finally(() => {
      if (this.#entering.get(user) === breaking) this.#entering.delete(user)
    })
    const isOver = await Promise.race([entering.then(() => true), pause(enteredWithinMs, false)])
    if (isOver) return
    entering.catch((error: unknown) => {
      if (!breaking.signal.aborted) this.#fail(user, error)
    })
  }

  async #leave(user: string, values: Values): Promise<void> {
    await this.#shown(values)
    await this.#control.leave({ as: user })
  }

  /** Restores the mode before, if this process enters the window; otherwise ends the window. */
  async #breakOff(user: string, values: Values): Promise<void> {
    const { windowId } = await this.#shown(values)
    const breaking = this.#entering.get(user)
    if (breaking === undefined) return void (await this.#control.leave({ as: user }))
    breaking.abort(new Error("Broken off in the control panel."))
    // The page is answered when it no longer shows this window.
    for (let times = 0; times < 100; times++) {
      if ((await this.#control.status()).windowId !== windowId) return
      await pause(50)
    }
  }

  async #extend(user: string, values: Values): Promise<void> {
    await this.#shown(values)
    await this.#control.extend({ as: user, expiresInMs: millisecondsIn(values["expires"]) })
  }

  async #transfer(user: string, values: Values): Promise<void> {
    await this.#shown(values)
    await this.#control.transfer({ as: user, to: values["to"] ?? "" })
  }

  async #announce(user: string, values: Values): Promise<void> {
    const options = { ...enterOptionsOf(user, values), startsAt: startIn(values) }
    await this.#control.announce(values["mode"] as Mode, options)
  }

  /**
   * Returns the status. Throws MaintenanceInputError if another window is in force than the one that the page has
   * shown: the person decided about something else.
   */
  async #shown({ windowId }: Values): Promise<MaintenanceStatus> {
    const status = await this.#control.status()
    if (windowId === undefined || (status.windowId ?? "") === windowId) return status
    throw new MaintenanceInputError(
      "Nothing was changed: the mode has changed since this page was shown. Look at it, and decide again.",
    )
  }
}

/** The options of a window in a form. */
function enterOptionsOf(user: string, values: Values, status?: MaintenanceStatus): EnterOptions {
  const { reason, message, expires, planned } = values
  return {
    as: user,
    reason: reason || undefined,
    message: message || undefined,
    expiresInMs: expires === keep ? timeUntil(status?.expiresAt, status) : millisecondsIn(expires),
    plannedForMs: planned === keep ? timeUntil(status?.plannedUntil, status) : millisecondsIn(planned),
    drain: drainIn(values),
  }
}

/** The time until an end of the window in milliseconds, on the database's clock; undefined if it is past. */
function timeUntil(end: Date | undefined, status: MaintenanceStatus | undefined): number | undefined {
  if (!end || !status) return undefined
  const { expiresAt, plannedUntil, retryAfterMs } = status
  const next = expiresAt ?? plannedUntil
  const now = next && retryAfterMs !== undefined ? next.getTime() - retryAfterMs : Date.now()
  const ms = end.getTime() - now
  return ms > 0 ? ms : undefined
}

function drainIn({ drain, outcome }: Values): DrainOptions | undefined {
  if (!drain && !outcome) return undefined
  return { withinMs: millisecondsIn(drain), then: (outcome || undefined) as DrainOutcome | undefined }
}

function millisecondsIn(text: string | undefined): number | undefined {
  return text ? Number(text) : undefined
}

/** The start of an announced window, in the zone of the browser, or in UTC without the script. */
function startIn({ starts = "", zone }: Values): Date {
  const utc = new Date(`${starts}Z`)
  if (Number.isNaN(utc.getTime()))
    throw new MaintenanceInputError(
      "Nothing was announced: give the date and time at which the window begins.",
    )
  return new Date(utc.getTime() + Number(zone || 0) * 60_000)
}
