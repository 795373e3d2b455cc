import type { Actor } from "../mode/actor"
import type { RefusalPolicy } from "../shared"
import type { ReaderSlots } from "../waiting/reader-slots"
import type { WaitingRoom } from "../waiting/waiting-room"
import type { WireClient } from "../wire/protocol"
import type { Fence } from "./fence"
import type { LentPolicies, Server } from "./fence-policy"
import type { FencedConnection } from "./fenced-connection"
import type { Obtained } from "./host"
import type { StartUp } from "./start-up"

/** The parts needed to lend a connection. */
export interface LendingParts {
  readonly fence: Fence
  readonly startUp: StartUp
  readonly waitingRoom: WaitingRoom
  readonly slots: ReaderSlots
  /** The user of the running code; throws MaintenanceSetupError. */
  actor(): Actor
  /** The policy of the running code. */
  policy(): RefusalPolicy
  fenceOff(client: WireClient): FencedConnection
  /** Reports an error, if it is a refusal; returns it. */
  refused(error: unknown): unknown
  /** Rejects with the error of a caller that gets no connection. */
  refuse(error: unknown): Promise<never>
}

/** Lends connections of the pools: fenced, clean, and only to callers that may have one. */
export class Lending {
  readonly #parts: LendingParts

  constructor(parts: LendingParts) {
    this.#parts = parts
  }

  /** Replaces the driver's methods that obtain a connection to a server. */
  obtain(obtain: () => Promise<Obtained>, server: Server): Promise<Obtained> {
    const { startUp, fence, slots } = this.#parts
    const { usual, startingUp } = fence.policies[server]
    // TypeORM's inspection of the server waits for nothing.
    if (startUp.isUnderWay) return obtain().then((obtained) => this.#lend(obtained, startingUp))
    const ready = startUp.isReady ? this.#admission() : startUp.ready().then(() => this.#admission())
    const take = () => (slots.isLimited ? this.#inSlot(obtain) : obtain())
    return (ready ? ready.then(take) : take()).then((obtained) => this.#lend(obtained, usual))
  }

  /** Lends a connection: fenced, and clean. */
  #lend([client, release]: Obtained, policies: LentPolicies): Obtained | Promise<Obtained> {
    const connection = this.#parts.fenceOff(client)
    connection.lend(policies)
    const given = [client, (error) => this.#release(connection, release, error)] satisfies Obtained
    // A holder that took it from the pool itself may have left a transaction open.
    const cleaned = connection.clean()?.catch((error: Error) => {
      this.#release(connection, release, error)
      throw error
    })
    return cleaned?.then(() => given) ?? given
  }

  /** Resolves when a connection may be taken; undefined if it may be taken immediately. */
  #admission(): Promise<void> | undefined {
    const { waitingRoom, actor, policy, refuse } = this.#parts
    if (policy() !== "wait") return undefined
    try {
      return waitingRoom.admission(actor())
    } catch (error) {
      return refuse(error)
    }
  }

  /** Takes a connection within the limit of the window (`readers`). */
  async #inSlot(obtain: () => Promise<Obtained>): Promise<Obtained> {
    const { slots, fenceOff, refused, refuse } = this.#parts
    let actor: Actor
    try {
      actor = this.#parts.actor()
    } catch (error) {
      return refuse(error)
    }
    const taken = await slots.slot(actor).catch((error: unknown) => {
      throw refused(error)
    })
    try {
      const obtained = await obtain()
      const connection = fenceOff(obtained[0])
      connection.lastActor = actor
      connection.isLent = true
      return obtained
    } finally {
      taken()
      slots.letIn()
    }
  }

  /** Gives a connection back to the pool, immediately if it needs no cleaning. */
  #release(connection: FencedConnection, release: (error?: Error) => void, error?: Error): void {
    const { session } = connection
    connection.released()
    if (session.isGivenUp) session.destroy()
    const giveBack = (fault?: Error) => {
      connection.givenBack()
      release(fault)
      this.#parts.slots.letIn()
    }
    if (error || session.isEnded) return giveBack(error ?? new Error("The connection was given up."))
    const cleaning = connection.clean()
    if (cleaning) cleaning.then(() => giveBack(), giveBack)
    else giveBack()
  }
}
