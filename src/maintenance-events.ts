import { AsyncResource } from "node:async_hooks"
import type { Draining } from "./drain/drain"
import { type AccessRefusedError, MaintenanceInputError, type WriteVetoedError } from "./errors"
import type { MaintenanceStatus } from "./mode/status"

/** What `maintenance.on` can listen to. */
export interface MaintenanceEvents {
  /** The mode was changed, by any process. */
  change: (status: MaintenanceStatus) => void
  /** A window stands for longer than planned (`plannedForMs`): once, in every process. */
  overdue: (status: MaintenanceStatus) => void
  /** A mode is being entered by this DataSource, and others are in the way: when that changes, and every second. */
  draining: (draining: Draining) => void
  /** Something was refused in this process. */
  refused: (error: WriteVetoedError | AccessRefusedError) => void
}

type Listeners = { [Event in keyof MaintenanceEvents]: Set<MaintenanceEvents[Event]> }

/** The listeners of one Maintenance. */
export class MaintenanceListeners {
  readonly #listeners: Listeners = {
    change: new Set(),
    overdue: new Set(),
    draining: new Set(),
    refused: new Set(),
  }
  readonly #warn: (message: string) => void

  constructor(warn: (message: string) => void) {
    this.#warn = warn
  }

  /** Adds a listener; returns the undo. Throws MaintenanceInputError. */
  add<Event extends keyof MaintenanceEvents>(event: Event, listener: MaintenanceEvents[Event]): () => void {
    if (!Object.hasOwn(this.#listeners, event)) {
      throw new MaintenanceInputError(
        `Unknown event "${event}"; there are ${Object.keys(this.#listeners).join(", ")}.`,
      )
    }
    if (typeof listener !== "function") {
      throw new MaintenanceInputError(`The listener of "${event}" must be a function.`)
    }
    // In the context of this call: the connection that brings the news may have been opened in a maintainer's.
    const bound = AsyncResource.bind(listener as () => void) as MaintenanceEvents[Event]
    this.#listeners[event].add(bound)
    return () => void this.#listeners[event].delete(bound)
  }

  /** Calls the listeners of an event. An error that one throws is reported as a process warning. */
  emit<Event extends keyof MaintenanceEvents>(
    event: Event,
    ...args: Parameters<MaintenanceEvents[Event]>
  ): void {
    for (const listener of this.#listeners[event]) {
      const report = (error: unknown) => this.#warn(`A listener of "${event}" threw: ${String(error)}`)
      try {
        const result: unknown = (listener as (...args: Parameters<MaintenanceEvents[Event]>) => unknown)(
          ...args,
        )
        if (result instanceof Promise) result.catch(report)
      } catch (error) {
        report(error)
      }
    }
  }
}
