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
  /** The last reading of the journal by a page. They follow each other, so that viewers cannot take all connections. */
  #reading: Promise<unknown> = Promise.resolve()

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
      this.#historyOf(report),
    ])
    const journal = before === undefined ? history.journal : await this.#journalAfter(before)
    return { report, blockers, history: { ...history, journal }, at: new Date() }
  }

  #historyOf({ epoch, windowId = "" }: MaintenanceReport): Promise<History> {
    // A window that expires ends without a new epoch.
    const of = `${epoch} ${windowId}`
    if (this.#latest?.of !== of || this.#latest.until < performance.now())
      this.#latest = { of, until: performance.now() + historyForMs, history: this.#history() }
    return this.#latest.history
  }

  async #history(): Promise<History> {
    const refusals = await this.#control.refusals().catch(unavailable)
    return { refusals, journal: await this.#journal() }
  }

  #journalAfter(before: string): Promise<History["journal"]> {
    const read = this.#reading.then(() => this.#journal(before))
    this.#reading = read.catch(() => undefined)
    return read
  }

  #journal(before?: string): Promise<History["journal"]> {
    return this.#control.journal({ before, limit: journalPage + 1 }).catch(unavailable)
  }
}

function unavailable(error: unknown): undefined {
  if (!(error instanceof StateUnavailableError)) throw error
}
