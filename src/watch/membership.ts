import type { AccessRefusedError, WriteVetoedError } from "../errors"
import type { MaintenanceStatus } from "../mode/status"
import type { Backend, Fleet } from "../state/fleet"
import type { RefusalCounts } from "../state/refusal-counts"

/** Longest delay before a refusal is reported, in milliseconds. */
const tellWithinMs = 10_000

/** The parts that taking part in the fleet takes. */
export interface MembershipParts {
  readonly fleet: Fleet
  /** The refusals for the journal. */
  readonly counts: RefusalCounts
  /** The state that is known to be current. */
  known(): MaintenanceStatus | undefined
  /** The backends of the pools, in a state. */
  backends(status: MaintenanceStatus): readonly Backend[]
  /** Gives the connection up, to register anew. */
  drop(): void
}

/** This process as an instance: registers with the fleet, and reports to it what it knows and has refused. */
export class Membership {
  readonly #parts: MembershipParts
  /** The id of this instance; undefined while its watch is not connected. */
  #id: number | undefined
  /** The id before its connection was lost. */
  #formerId: number | undefined
  /** The calls that are entering a mode, or have announced one, and the tasks that are running. */
  readonly #entries = new Set<string>()
  #refusals = 0
  /** The last report. */
  #told = { epoch: 0, refusals: 0 }
  #next: NodeJS.Timeout | undefined
  /** Whether to report in any case: what the backends do may have changed. */
  #isAsked = false
  #isRunning = false

  constructor(parts: MembershipParts) {
    this.#parts = parts
  }

  /** The id of this instance, while its watch is connected. */
  get id(): number | undefined {
    return this.#id
  }

  start(): void {
    this.#isRunning = true
  }

  /** Ends the reports. */
  stop(): void {
    this.#isRunning = false
    clearTimeout(this.#next)
  }

  /** Takes note that the connection is lost, and with it the id. */
  disconnected(): void {
    this.#id = undefined
  }

  /** Registers with the fleet, as an instance that knows this epoch. */
  async register(epoch: number): Promise<void> {
    this.#id = await this.#parts.fleet.register(epoch, [...this.#entries], this.#formerId)
    this.#formerId = this.#id
    this.#told = { epoch: 0, refusals: 0 }
    this.tell()
  }

  /** Takes note of a call that enters a mode or announces one, or of a task that runs; returns the undo. */
  entering(entry: string): () => void {
    this.#entries.add(entry)
    return () => void this.#entries.delete(entry)
  }

  /** Counts a refusal of this instance; `isRecorded` if the journal is to know of it. */
  countRefusal(error: WriteVetoedError | AccessRefusedError, isRecorded: boolean): void {
    this.#refusals++
    if (error.windowId !== undefined && isRecorded) this.#parts.counts.count(error.windowId, error)
    this.#tellLater()
  }

  /** Records in the journal what this instance has refused; later, if it fails now. */
  async tellRefusals(): Promise<void> {
    await this.#parts.counts.tell().catch(() => this.#tellLater())
  }

  /** Reports even if nothing is new: an instance that waits for it has asked. */
  asked(): void {
    this.#isAsked = true
    this.tell()
  }

  /** Reports what this instance knows, and has refused, if that is new. */
  tell(): void {
    clearTimeout(this.#next)
    this.#next = undefined
    void this.tellRefusals()
    const { fleet, known, backends, drop } = this.#parts
    const [id, status, refusals] = [this.#id, known(), this.#refusals]
    if (id === undefined || status === undefined) return
    const { epoch } = status
    if (!this.#isAsked && epoch === this.#told.epoch && refusals === this.#told.refusals) return
    this.#isAsked = false
    this.#told = { epoch, refusals }
    fleet.acknowledge(id, { epoch, refusals, backends: backends(status) }).then(
      // Its row is gone: in a new session it registers anew.
      (isRegistered) => isRegistered || drop(),
      // The connection is lost, and it registers anew; or the schema is, and nothing commits.
      () => (this.#told = { epoch: 0, refusals: 0 }),
    )
  }

  #tellLater(): void {
    if (this.#isRunning) this.#next ??= setTimeout(() => this.tell(), tellWithinMs).unref()
  }
}
