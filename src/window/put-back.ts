import type { DrainPlan } from "../drain/drain"
import type { Tell } from "../drain/draining-feed"
import { DrainTimeoutError, WindowEndedError } from "../errors"
import type { MaintenanceStatus } from "../mode/status"
import type { Opened } from "../state/opening"
import type { StateStore } from "../state/state-store"
import { stillCommitting, stillOpen, type Waited } from "./drain-failure"
import { endedError } from "./ended"
import { commitsOnly, usualPlanOf } from "./entry"
import { interrupted } from "./failure"
import type { WindowHost } from "./host"
import type { WindowDrain } from "./window-drain"

/** How long the instances may take to know a mode that is put back. */
const acknowledgeMs = 5000

/** Waits where a window comes to hold that was not entered just now: it is back, or was handed over. */
export class PutBack {
  readonly #host: WindowHost
  readonly #drain: WindowDrain
  /** How the windows were entered that this DataSource has entered, and may be put back. */
  readonly #plans = new Map<string, DrainPlan>()

  constructor(host: WindowHost, windowDrain: WindowDrain) {
    this.#host = host
    this.#drain = windowDrain
  }

  /** Takes note of how a window was entered. */
  entered(status: MaintenanceStatus, plan: DrainPlan): void {
    this.#plans.set(nameOf(status), plan)
  }

  /** Forgets how windows were entered, for there is none. */
  forget(): void {
    this.#plans.clear()
  }

  /**
   * Waits for commits of the former maintainer that are under way when a window was handed over. Throws DrainTimeoutError if they
   * are not over in time, WindowEndedError if the window of the new one is over before.
   */
  async handedOver(store: StateStore, opened: Opened, waited: Waited, withinMs?: number): Promise<void> {
    const plan = commitsOnly(withinMs)
    const inform = () => Promise.resolve()
    const left = await this.#drain
      .run(store, opened, { waited, plan, inform })
      .catch(async (error: unknown) => {
        if (!(error instanceof WindowEndedError)) throw error
        throw await endedError(this.#host, store, opened, {
          what: "the commits of its former maintainer were",
          cause: error,
        })
      })
    if (left.length > 0) throw stillCommitting(left, this.#drain.told(plan), waited)
  }

  /**
   * Waits for what others have begun in a weaker mode, when the mode of a status is back: as it was entered by this DataSource, or as
   * is usual in that mode. Throws DrainTimeoutError if that is not over in time. Whoever changes the mode meanwhile ends the waiting.
   */
  async wait(store: StateStore, opened: Opened, status: MaintenanceStatus, tell: Tell): Promise<void> {
    const { mode, reason, epoch } = status
    const plan = this.#plans.get(nameOf(status)) ?? usualPlanOf(mode)
    const actor = { user: status.maintainer, isEmergency: false }
    const waited = { mode, actor, reason, call: "during()", tell }
    const over = new AbortController()
    try {
      const { inform } = this.#drain.acknowledged(store, epoch, acknowledgeMs, over.signal)
      const left = await this.#drain.run(store, opened, { waited, plan, inform })
      if (left.length > 0) throw stillOpen(left, this.#drain.told(plan), waited)
    } catch (error) {
      if (error instanceof DrainTimeoutError) throw error
      if (!(error instanceof WindowEndedError)) throw interrupted(error, { call: "during()" })
    } finally {
      over.abort()
    }
  }
}

/** A name for a window in one of its modes, which it has again when it is put back. */
function nameOf({ mode, maintainer, since }: MaintenanceStatus): string {
  return `${mode} ${since?.getTime()} ${maintainer}`
}
