import { Blockers } from "../drain/blockers"
import { drain } from "../drain/drain"
import type { DrainPlan } from "../drain/drain-plan"
import type { Blocker } from "../mode/blocker"
import { lockKeys } from "../state/schema"
import type { Opened } from "../state/opening"
import type { StateStore } from "../state/state-store"
import { type ReportedPlan, stillWaiting, type Waited } from "./drain-failure"
import type { WindowEvents, WindowHost } from "./host"
import { warn } from "../notices"

/** The parameters of one drain. */
export interface Wait {
  readonly waited: Waited
  readonly plan: DrainPlan
  readonly inform: () => Promise<unknown>
  readonly signal?: AbortSignal | undefined
}

/** The limits of a wait for the instances' acknowledgements. */
export interface AcknowledgementTerms {
  readonly withinMs: number
  /** Ends the wait. */
  readonly until: AbortSignal
}

/** Delay before the process warning that names the blockers, in milliseconds. */
const warnAfterMs = 5000

/** Drains in-flight transactions, and waits for the instances' acknowledgements. */
export class WindowDrain {
  readonly #host: WindowHost
  readonly #events: WindowEvents

  constructor(host: WindowHost, events: WindowEvents) {
    this.#host = host
    this.#events = events
  }

  /**
   * Waits for the instances to acknowledge an epoch. `inform` is the parameter of the same name for
   * `drain()`.
   */
  acknowledged(store: StateStore, epoch: number, { withinMs, until }: AcknowledgementTerms) {
    const acknowledged = store.fleet.acknowledged(epoch, withinMs, until)
    // The promise may reject before anything awaits it.
    acknowledged.catch(() => undefined)
    const inform = (): Promise<unknown> =>
      acknowledged.then(() => store.fleet.askedAnew(epoch, withinMs, until)).catch(() => undefined)
    return { acknowledged, inform }
  }

  /**
   * Waits for transactions that passed their fence before an epoch, and for in-flight transactions as the
   * plan demands.
   */
  async run(
    store: StateStore,
    opened: Opened,
    { waited, plan, inform, signal }: Wait,
  ): Promise<readonly Blocker[]> {
    const window = { mode: waited.mode, maintainer: waited.actor.user as string }
    const { schema } = this.#host.options
    const blockers = new Blockers(
      (text, values) => store.look(text, values, signal),
      { schema, presence: lockKeys(schema).presence, opened },
      () => this.#host.unrestrictedBackends(window),
    )
    let isWarned = false
    return drain(
      {
        look: (holders) => blockers.look(holders),
        end: (blocker, how) => blockers.end(blocker, how),
        holders: () => store.switching.waitedFor(opened, signal),
        inform,
        report: (draining) => {
          this.#events.draining(draining)
          waited.report(draining)
          if (isWarned || draining.waitedMs < warnAfterMs) return
          isWarned = true
          warn(stillWaiting(draining, waited, this.reportedPlan(plan)))
        },
      },
      plan,
      signal,
    )
  }

  /** The plan, and whether messages show SQL. */
  reportedPlan(plan: DrainPlan): ReportedPlan {
    return { ...plan, showsQueries: this.#host.options.showsQueries }
  }
}
