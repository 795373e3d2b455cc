import { setTimeout as pause } from "node:timers/promises"
import {
  type Blocker,
  type BlockersOptions,
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
/** Time for which a page waits for a new reading, if there is an older one, in milliseconds. */
const newerWithinMs = 20

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
  /** Called when a newer history was read. */
  readonly #changed: () => void
  #latest: { readonly of: string; readonly until: number; readonly history: Promise<History> } | undefined
  /** The last history that was read. */
  #known: History | undefined
  /** The last reading of the history. They follow each other, so that viewers cannot take all connections. */
  #reading: Promise<unknown> = Promise.resolve()

  constructor(control: MaintenanceControl, changed: () => void) {
    this.#control = control
    this.#changed = changed
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
    const journal = before === undefined ? history.journal : await this.#inTurn(() => this.#journal(before))
    return { report, blockers, history: { ...history, journal }, at: new Date() }
  }

  /** Returns the transactions that entering a mode would wait for. The reading of the history is not among them. */
  blockersOf(options: BlockersOptions): Promise<readonly Blocker[]> {
    return this.#inTurn(() => this.#control.blockers(options))
  }

  #historyOf({ epoch, windows }: MaintenanceReport): Promise<History> {
    // A window that expires, or was announced, ends without a new epoch.
    const of = `${epoch} ${windows.map(({ id }) => id).join(" ")}`
    if (this.#latest?.of !== of || this.#latest.until < performance.now()) {
      const history = this.#inTurn(() => this.#history(of))
      this.#latest = { of, until: performance.now() + historyForMs, history }
      // It may fail when nobody waits for it any longer.
      history.then(this.#changed, () => (this.#latest = undefined))
    }
    const { history } = this.#latest
    const known = this.#known
    return known ? Promise.race([history, pause(newerWithinMs, known, { ref: false })]) : history
  }

  async #history(of: string): Promise<History> {
    // Another one was asked for in the meantime.
    if (this.#latest?.of !== of && this.#known) return this.#known
    const refusals = await this.#control.refusals().catch(unavailable)
    this.#known = { refusals, journal: await this.#journal() }
    return this.#known
  }

  #inTurn<T>(read: () => Promise<T>): Promise<T> {
    const reading = this.#reading.then(read)
    this.#reading = reading.catch(() => undefined)
    return reading
  }

  #journal(before?: string): Promise<History["journal"]> {
    return this.#control.journal({ before, limit: journalPage + 1 }).catch(unavailable)
  }
}

function unavailable(error: unknown): undefined {
  if (!(error instanceof StateUnavailableError)) throw error
}
