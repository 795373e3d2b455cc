import type { Actor } from "../mode/actor"
import type { Step } from "../wire/protocol"

/** The checks that a connection needs in its situation. */
export interface FencePolicy {
  /** Whether the state is not known, so that the server must be asked before each statement of a transaction. */
  readonly isBlind: boolean
  /** Whether a share of the gate may be held for a statement that commits by itself; otherwise it may only read. */
  readonly mayHold: boolean
  /** Throws AccessRefusedError for an actor who is refused everything, as far as is known. */
  assertAdmitted(actor: Actor): void
  /** The last statement of a transaction. */
  check(actor: Actor): Step
  /** Like `check`, for a text that may take a role without access to the state. */
  fullCheck(actor: Actor): Step
  /** Like `check`, for a transaction that is to be prepared. */
  checkToPrepare(actor: Actor): Step
}

/** The policy for the primary, which also makes the check that needs no schema. */
export interface PrimaryFence extends FencePolicy {
  /** Like `check`, but without the schema. A transaction that changed nothing passes in every mode. */
  checkWrites(actor: Actor): Step
}

/** The situation of a connection: TypeORM inspects the server during start-up, a pool listener sets it up, or neither. */
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

/** For a replica, which may lack the schema, and while the schema is awaited from a migration: reads pass. */
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

/** For TypeORM's inspection of the server during start-up, which may read in every mode. */
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

/** The same for a pool listener that sets up a connection. The schema exists, so a prepared transaction is fenced. */
class SettingUp extends StartingUp {
  override checkToPrepare(actor: Actor): Step {
    return this.usual.checkToPrepare(actor)
  }
}
