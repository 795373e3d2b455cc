import { MaintenanceSetupError } from "../errors"
import type { Hearing } from "./hearing"
import { warn } from "../notices"

/** Interval at which the state is polled where LISTEN does not deliver, in milliseconds. */
export const pollMs = 1000

/** The parts that `Delivery` needs. */
export interface DeliveryParts {
  readonly hearing: Hearing
  /** Whether sessions keep statements prepared. */
  readonly isPrepared: boolean
  /** Whether the connection is to PostgreSQL itself. */
  isDirect(): boolean
}

/**
 * The way in which changes of the state arrive: by LISTEN, by polling, or, without a connection, not at all.
 */
export class Delivery {
  readonly #parts: DeliveryParts
  #news: "notified" | "polled" | "none" = "none"
  #isStandby = false
  /** Whether a pooler gives every transaction another connection. */
  #isPooled = false
  readonly #warned = new Set<string>()

  constructor(parts: DeliveryParts) {
    this.#parts = parts
  }

  /** Whether no change arrives. */
  get isSilent(): boolean {
    return this.#news === "none"
  }

  get isPolled(): boolean {
    return this.#news === "polled"
  }

  /** Whether the server is a read replica, on which nothing can be changed. */
  get isStandby(): boolean {
    return this.#isStandby
  }

  /** Whether a pooler gives every transaction another connection, so that no session can hold a lock. */
  get isPooled(): boolean {
    return this.#isPooled
  }

  /**
   * Listens and determines whether notifications arrive. Throws MaintenanceSetupError if a pooler mixes up
   * prepared statements.
   */
  async begin(): Promise<void> {
    this.#news = (await this.#isNotified()) ? "notified" : "polled"
  }

  /** Records that the connection is lost. */
  end(): void {
    this.#news = "none"
  }

  async #isNotified(): Promise<boolean> {
    const { hearing, isDirect, isPrepared } = this.#parts
    const heard = await hearing.listen()
    this.#isStandby = heard === "standby"
    this.#isPooled = heard === "nothing" && !isDirect()
    if (heard === "all") return true
    if (this.#isStandby) {
      this.#warn("This server is a read replica, which does not support LISTEN.")
      return false
    }
    if (this.#isPooled && isPrepared) throw mixedUp()
    this.#warn(
      "LISTEN does not deliver, usually because a pooler gives every transaction another connection (such as pgbouncer " +
        "in transaction mode).",
    )
    return false
  }

  /** Warns, once for each reason, that the state is polled. */
  #warn(why: string): void {
    if (this.#warned.has(why)) return
    this.#warned.add(why)
    warn(
      `${why} The maintenance mode is read every ${pollMs} ms instead, so a refusal may be that late. ` +
        "The database still decides what commits.",
    )
  }
}

function mixedUp(): MaintenanceSetupError {
  return new MaintenanceSetupError(
    "A pooler between this application and PostgreSQL gives every transaction another connection (such as pgbouncer in " +
      "transaction mode), so prepared statements get mixed up. Set preparedStatements: false in installMaintenance(), " +
      "or let the DataSource connect past the pooler.",
  )
}
