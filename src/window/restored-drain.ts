import type { DrainPlan } from "../drain/drain-plan"
import type { ReportDraining } from "../drain/draining-feed"
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

/** Time for the instances to acknowledge a restored mode, in milliseconds. */
const acknowledgeMs = 5000

/** The parameters for the wait after a handover. */
export interface Handover {
  readonly waited: Waited
  readonly withinMs?: number | undefined
}

/** The parameters for the wait after a mode was restored. */
export interface Restoration {
  readonly status: MaintenanceStatus
  readonly report: ReportDraining
}

/** Drains for windows that come into force without being entered: restored ones, and those handed over. */
export class RestoredDrain {
  readonly #host: WindowHost
  readonly #drain: WindowDrain
  /** Drain plans of the windows that this DataSource has entered, for when they are restored. */
  readonly #plans = new Map<string, DrainPlan>()

  constructor(host: WindowHost, windowDrain: WindowDrain) {
    this.#host = host
    this.#drain = windowDrain
  }

  /** Records the drain plan of a window that was entered. */
  entered(status: MaintenanceStatus, plan: DrainPlan): void {
    this.#plans.set(nameOf(status), plan)
  }

  /** Forgets all drain plans: no window is left. */
  forget(): void {
    this.#plans.clear()
  }

  /**
   * Waits for the former maintainer's commits that are under way after a handover. Throws DrainTimeoutError
   * if they do not end in time, and WindowEndedError if the new maintainer's window ends first.
   */
  async handedOver(store: StateStore, opened: Opened, { waited, withinMs }: Handover): Promise<void> {
    const plan = commitsOnly(withinMs)
    const inform = () => Promise.resolve()
    const left = await this.#drain
      .run(store, opened, { waited, plan, inform })
      .catch(async (error: unknown) => {
        if (!(error instanceof WindowEndedError)) throw error
        throw await endedError(this.#host, opened, {
          store,
          what: "the commits of its former maintainer had ended",
          cause: error,
        })
      })
    if (left.length > 0) throw stillCommitting(left, this.#drain.reportedPlan(plan), waited)
  }

  /**
   * Waits for transactions begun in a weaker mode, after the mode of a status was restored. Uses the plan
   * with which this DataSource entered that window, or the usual plan of the mode. Throws DrainTimeoutError
   * if they do not end in time. A change of the mode ends the wait.
   */
  async wait(store: StateStore, opened: Opened, { status, report }: Restoration): Promise<void> {
    const { mode, reason, message, epoch } = status
    const plan = this.#plans.get(nameOf(status)) ?? usualPlanOf(mode)
    const actor = { user: status.maintainer, isEmergency: false }
    const waited = { mode, actor, reason, message, call: "during()", isEntering: false, report }
    const over = new AbortController()
    try {
      const { inform } = this.#drain.acknowledged(store, epoch, {
        withinMs: acknowledgeMs,
        until: over.signal,
      })
      const left = await this.#drain.run(store, opened, { waited, plan, inform })
      if (left.length > 0) throw stillOpen(left, this.#drain.reportedPlan(plan), waited)
    } catch (error) {
      if (error instanceof DrainTimeoutError) throw error
      if (!(error instanceof WindowEndedError)) throw interrupted(error, { call: "during()" })
    } finally {
      over.abort()
    }
  }
}

/** A name for a window in one of its modes. A restored window has the same name again. */
function nameOf({ mode, maintainer, since }: MaintenanceStatus): string {
  return `${mode} ${since?.getTime()} ${maintainer}`
}
