import type { AccessRefusedError, WriteVetoedError } from "../errors"
import type { MaintenanceStatus } from "../mode/status"
import type { Backend, Fleet } from "../state/fleet"
import type { RefusalCounts } from "../state/refusal-counts"

/** Longest delay before a refusal is reported, in milliseconds. */
const reportWithinMs = 10_000

/** The parts that `Membership` needs. */
export interface MembershipParts {
  readonly fleet: Fleet
  /** The refusals for the journal. */
  readonly counts: RefusalCounts
  /** The state, while it is known to be current. */
  current(): MaintenanceStatus | undefined
  /** The backends of the pools, in a state. */
  backends(status: MaintenanceStatus): readonly Backend[]
  /** Drops the connection, so that the instance registers again. */
  drop(): void
}

/**
 * The registration of this process as an instance. Reports to the fleet what the instance knows and has
 * refused.
 */
export class Membership {
  readonly #parts: MembershipParts
  /** The id of this instance. Undefined while its watch is not connected. */
  #id: number | undefined
  /** The id before its connection was lost. */
  #formerId: number | undefined
  /** The calls that are entering or have announced a window, and the running tasks. */
  readonly #entries = new Set<string>()
  #refusals = 0
  /** The last report. */
  #reported = { epoch: 0, refusals: 0 }
  #next: NodeJS.Timeout | undefined
  /** Whether to report in any case, because the backends may have changed. */
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

  /** Stops reporting. */
  stop(): void {
    this.#isRunning = false
    clearTimeout(this.#next)
    this.#next = undefined
  }

  /** Records that the connection is lost, and with it the id. */
  disconnected(): void {
    this.#id = undefined
  }

  /** Registers with the fleet, as an instance that knows this epoch. */
  async register(epoch: number): Promise<void> {
    this.#id = await this.#parts.fleet.register(epoch, [...this.#entries], this.#formerId)
    this.#formerId = this.#id
    this.#reported = { epoch: 0, refusals: 0 }
    this.report()
  }

  /** Records a call that enters or announces a window, or a running task. Returns the undo. */
  entering(entry: string): () => void {
    this.#entries.add(entry)
    return () => void this.#entries.delete(entry)
  }

  /** Counts a refusal of this instance. `isRecorded` says whether it goes into the journal. */
  countRefusal(error: WriteVetoedError | AccessRefusedError, isRecorded: boolean): void {
    this.#refusals++
    if (error.windowId !== undefined && isRecorded) this.#parts.counts.count(error.windowId, error)
    this.#reportLater()
  }

  /** Records this instance's refusals in the journal. A failure is retried later. */
  async reportRefusals(): Promise<void> {
    await this.#parts.counts.report().catch(() => this.#reportLater())
  }

  /** Reports even without news, because a waiting instance has asked for it. */
  asked(): void {
    this.#isAsked = true
    this.report()
  }

  /** Reports what this instance knows and has refused, if that has changed. */
  report(): void {
    const { fleet, current, backends, drop } = this.#parts
    const [id, status, refusals] = [this.#id, current(), this.#refusals]
    if (id === undefined || status === undefined) return
    const { epoch } = status
    if (!this.#isAsked && epoch === this.#reported.epoch && refusals === this.#reported.refusals) return
    this.#isAsked = false
    this.#reported = { epoch, refusals }
    fleet.acknowledge(id, { epoch, refusals, backends: backends(status) }).then(
      // Its row is gone. In a new session, the instance registers again.
      (isRegistered) => isRegistered || drop(),
      // Either the connection is lost, and the instance registers again, or the schema is gone, and nothing
      // commits.
      () => (this.#reported = { epoch: 0, refusals: 0 }),
    )
  }

  #reportLater(): void {
    if (!this.#isRunning) return
    // Not with every change of the mode: there may be thousands of refusals, and the switch waits for this
    // connection, too.
    this.#next ??= setTimeout(() => {
      this.#next = undefined
      void this.reportRefusals()
      this.report()
    }, reportWithinMs).unref()
  }
}
