import { AsyncResource } from "node:async_hooks"
import type { Draining } from "./drain/drain-plan"
import { type AccessRefusedError, MaintenanceInputError, type WriteVetoedError } from "./errors"
import type { MaintenanceStatus } from "./mode/status"
import { publish, textOf, warn } from "./notices"

/** Events for `on()`, with their listeners. */
export interface MaintenanceEvents {
  /** Emitted when any process has changed the mode. */
  change: (status: MaintenanceStatus) => void
  /** Emitted once in every process when a window lasts longer than planned (`plannedForMs`). */
  overdue: (status: MaintenanceStatus) => void
  /**
   * Emitted while a mode is entered here and there are blockers: at every change, and every second.
   */
  draining: (draining: Draining) => void
  /** Emitted when this process has refused something. */
  refused: (error: WriteVetoedError | AccessRefusedError) => void
}

/** Name of each listener's argument in a notice. */
const payloadOf = { change: "status", overdue: "status", draining: "draining", refused: "error" } as const

type Listeners = { [Event in keyof MaintenanceEvents]: Set<MaintenanceEvents[Event]> }

/** The event listeners of one Maintenance. */
export class MaintenanceListeners {
  readonly #listeners: Listeners = {
    change: new Set(),
    overdue: new Set(),
    draining: new Set(),
    refused: new Set(),
  }
  readonly #dataSource: object | undefined

  /** `dataSource` is part of each notice, if there is one. */
  constructor(dataSource: object | undefined) {
    this.#dataSource = dataSource
  }

  /** Adds a listener; returns the undo. Throws MaintenanceInputError. */
  add<Event extends keyof MaintenanceEvents>(event: Event, listener: MaintenanceEvents[Event]): () => void {
    if (!Object.hasOwn(this.#listeners, event)) {
      throw new MaintenanceInputError(
        `Unknown event "${event}". The events are ${Object.keys(this.#listeners).join(", ")}.`,
      )
    }
    if (typeof listener !== "function") {
      throw new MaintenanceInputError(`The listener of "${event}" must be a function.`)
    }
    // Bound to the caller's context: the connection that delivers the event may have been opened in a
    // maintainer's.
    const bound = AsyncResource.bind(listener as () => void) as MaintenanceEvents[Event]
    this.#listeners[event].add(bound)
    return () => void this.#listeners[event].delete(bound)
  }

  /**
   * Calls the listeners of an event, and publishes it on its channel. An error thrown by a listener becomes a
   * process warning.
   */
  emit<Event extends keyof MaintenanceEvents>(
    event: Event,
    ...args: Parameters<MaintenanceEvents[Event]>
  ): void {
    const source = this.#dataSource && { dataSource: this.#dataSource }
    publish(event, { ...source, [payloadOf[event]]: args[0] })
    for (const listener of this.#listeners[event]) {
      const report = (error: unknown) => warn(`A listener of "${event}" threw: ${textOf(error)}`)
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
