import type { Actor } from "../mode/actor"
import type { Step } from "../wire/protocol"

/** What a connection asks of the fence, in the situation that it is in. */
export interface FencePolicy {
  /** Whether nothing is known in memory, so that the server has to be asked before a statement of a transaction. */
  readonly isBlind: boolean
  /** Whether a share of the gate may be held for a statement that commits by itself; otherwise it may only read. */
  readonly mayHold: boolean
  /** Throws AccessRefusedError for an actor who is refused everything, as far as is known. */
  assertAdmitted(actor: Actor): void
  /** The last statement of a transaction. */
  check(actor: Actor): Step
  /** As `check`, for what may take a role that may not even look at the state. */
  fullCheck(actor: Actor): Step
  /** As `check`, for a transaction that is to be prepared. */
  checkToPrepare(actor: Actor): Step
}

/** The policy for the primary, which also makes the check that needs no schema. */
export interface PrimaryFence extends FencePolicy {
  /** As `check`, but needs no schema, and lets whatever changed nothing pass in every mode. */
  checkWrites(actor: Actor): Step
}

/** The situation of a connection: TypeORM looks at the server as it starts, a listener of the pool sets it up, or neither. */
export type Situation = "usual" | "starting up" | "setting up"

/** The policies of a fence, one for each situation of a connection. */
export class FencePolicies {
  readonly #primary: Record<Situation, FencePolicy>
  readonly #writesOnly: Record<Situation, FencePolicy>

  constructor(fence: PrimaryFence) {
    this.#primary = situationsOf(fence, fence)
    this.#writesOnly = situationsOf(fence, new WritesOnly(fence))
  }

  /** The policy for a connection; `isWritesOnly` to a replica, and while the schema is expected from a migration. */
  of(situation: Situation, isWritesOnly: boolean): FencePolicy {
    return (isWritesOnly ? this.#writesOnly : this.#primary)[situation]
  }
}

function situationsOf(fence: PrimaryFence, usual: FencePolicy): Record<Situation, FencePolicy> {
  return {
    usual,
    "starting up": new StartingUp(fence, usual),
    "setting up": new SettingUp(fence, usual),
  }
}

/** For a replica, which writes nothing, and may not have the schema, and while the schema is awaited: what only reads passes. */
class WritesOnly implements FencePolicy {
  readonly isBlind: boolean = false
  readonly mayHold: boolean = true
  protected readonly fence: PrimaryFence

  constructor(fence: PrimaryFence) {
    this.fence = fence
  }

  assertAdmitted(actor: Actor): void {
    this.fence.assertAdmitted(actor)
  }

  check(actor: Actor): Step {
    return this.fence.checkWrites(actor)
  }

  fullCheck(actor: Actor): Step {
    return this.fence.checkWrites(actor)
  }

  checkToPrepare(actor: Actor): Step {
    return this.fence.checkWrites(actor)
  }
}

/** For TypeORM's look at the server as it starts, which every mode allows to read. */
class StartingUp implements FencePolicy {
  readonly mayHold: boolean = false
  protected readonly usual: FencePolicy
  readonly #fence: PrimaryFence

  constructor(fence: PrimaryFence, usual: FencePolicy) {
    this.#fence = fence
    this.usual = usual
  }

  get isBlind(): boolean {
    return this.usual.isBlind
  }

  assertAdmitted(): void {}

  check(actor: Actor): Step {
    return this.#fence.checkWrites(actor)
  }

  fullCheck(actor: Actor): Step {
    return this.#fence.checkWrites(actor)
  }

  checkToPrepare(actor: Actor): Step {
    return this.#fence.checkWrites(actor)
  }
}

/** The same for a listener of the pool that sets up a connection; the schema is there, so what it prepares passes the fence. */
class SettingUp extends StartingUp {
  override checkToPrepare(actor: Actor): Step {
    return this.usual.checkToPrepare(actor)
  }
}
