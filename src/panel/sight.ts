import {
  type Blocker,
  type MaintenanceControl,
  type MaintenanceReport,
  type MinuteOfRefusals,
  type PastWindow,
  StateUnavailableError,
} from "../index"

/** Number of windows on a page of the journal. */
export const journalPage = 20
/** Time for which a reading of the history serves while the state stays the same, in milliseconds. */
const historyForMs = 10_000

/** The state that the panel shows at one moment. */
export interface Sight {
  readonly report: MaintenanceReport
  /** The transactions that are waited for while a window is being entered. */
  readonly blockers: readonly Blocker[]
  readonly history: History
  /** Time of the reading, on this process's clock. */
  readonly at: Date
}

/** The part of the sight that is about the past. */
export interface History {
  /** The refusals of the last hour; undefined if they could not be read. */
  readonly refusals: readonly MinuteOfRefusals[] | undefined
  /** The windows of a page of the journal, and one more if there is another page; undefined if it could not be read. */
  readonly journal: readonly PastWindow[] | undefined
}

/**
 * Reads the state that the panel shows. The control reads the history over connections of their own: so it is read
 * only when it may have changed, and the rest is shown even if no connection is left.
 */
export class SightReader {
  readonly #control: MaintenanceControl
  #latest: { readonly of: string; readonly until: number; readonly history: Promise<History> } | undefined

  constructor(control: MaintenanceControl) {
    this.#control = control
  }

  /**
   * Reads the state, with the page of the journal that follows a window (`before`). Throws StateUnavailableError if
   * the database does not answer.
   */
  async read(before?: string): Promise<Sight> {
    const report = await this.#control.status()
    const [blockers, history] = await Promise.all([
      report.state === "entering" ? this.#control.blockers() : [],
      before === undefined ? this.#historyOf(report) : this.#history(before),
    ])
    return { report, blockers, history, at: new Date() }
  }

  #historyOf({ epoch, windowId = "" }: MaintenanceReport): Promise<History> {
    // A window that expires ends without a new epoch.
    const of = `${epoch} ${windowId}`
    if (this.#latest?.of !== of || this.#latest.until < performance.now())
      this.#latest = { of, until: performance.now() + historyForMs, history: this.#history() }
    return this.#latest.history
  }

  async #history(before?: string): Promise<History> {
    const [refusals, journal] = await Promise.all([
      this.#control.refusals().catch(unavailable),
      this.#control.journal({ before, limit: journalPage + 1 }).catch(unavailable),
    ])
    return { refusals, journal }
  }
}

function unavailable(error: unknown): undefined {
  if (!(error instanceof StateUnavailableError)) throw error
}
