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

/** The checks of a fence, from which the policies choose. */
export interface FenceChecks extends Omit<FencePolicy, "mayHold"> {
  /** Like `check`, but without the schema. A transaction that changed nothing passes in every mode. */
  checkWrites(actor: Actor): Step
}

/** The presence of the schema, which the policies ask about, because it may change while a connection is lent. */
export interface SchemaPresence {
  /** Whether a migration is still to create the schema. Until then, transactions that only read may pass. */
  readonly isAwaitingSchema: boolean
}

/** The server of a connection. */
export type Server = "primary" | "replica"

/** The policies of a connection, from when it is lent. */
export class LentPolicies {
  /** For the holder. */
  readonly holder: FencePolicy
  /** For a pool listener that sets up the connection for its next holder. */
  readonly listener: FencePolicy
  /** From when the connection is released until it is lent again. */
  readonly released: LentPolicies

  /** Without `released`, the policies stay the same after the release. */
  constructor(holder: FencePolicy, listener: FencePolicy, released?: LentPolicies) {
    this.holder = holder
    this.listener = listener
    this.released = released ?? this
  }
}

/** The policies that a connection to one server may be lent with. */
interface ServerPolicies {
  readonly usual: LentPolicies
  /** While TypeORM inspects the server during start-up. */
  readonly startingUp: LentPolicies
}

/** The policies of a fence, by the server of a connection. */
export type FencePolicies = Readonly<Record<Server, ServerPolicies>>

/** Returns the policies of a fence. */
export function policiesOf(checks: FenceChecks, schema: SchemaPresence): FencePolicies {
  const writesOnly = new WritesOnly(checks)
  return {
    primary: serverPolicies(checks, new Primary(checks, writesOnly, schema)),
    replica: serverPolicies(checks, writesOnly),
  }
}

function serverPolicies(checks: FenceChecks, holder: FencePolicy): ServerPolicies {
  const usual = new LentPolicies(holder, new SettingUp(checks, holder))
  const startingUp = new StartingUp(checks, holder)
  return { usual, startingUp: new LentPolicies(startingUp, startingUp, usual) }
}

/** For the primary: all checks, but while the schema is awaited those that need no schema. */
class Primary implements FencePolicy {
  readonly mayHold: boolean = true
  readonly #checks: FenceChecks
  readonly #writesOnly: FencePolicy
  readonly #schema: SchemaPresence

  constructor(checks: FenceChecks, writesOnly: FencePolicy, schema: SchemaPresence) {
    this.#checks = checks
    this.#writesOnly = writesOnly
    this.#schema = schema
  }

  get isBlind(): boolean {
    return this.#now.isBlind
  }

  assertAdmitted(actor: Actor): void {
    this.#checks.assertAdmitted(actor)
  }

  check(actor: Actor): Step {
    return this.#now.check(actor)
  }

  fullCheck(actor: Actor): Step {
    return this.#now.fullCheck(actor)
  }

  checkToPrepare(actor: Actor): Step {
    return this.#now.checkToPrepare(actor)
  }

  get #now(): Omit<FencePolicy, "mayHold"> {
    return this.#schema.isAwaitingSchema ? this.#writesOnly : this.#checks
  }
}

/** For a replica, which may lack the schema, and while the schema is awaited from a migration: reads pass. */
class WritesOnly implements FencePolicy {
  readonly isBlind: boolean = false
  readonly mayHold: boolean = true
  readonly #checks: FenceChecks

  constructor(checks: FenceChecks) {
    this.#checks = checks
  }

  assertAdmitted(actor: Actor): void {
    this.#checks.assertAdmitted(actor)
  }

  check(actor: Actor): Step {
    return this.#checks.checkWrites(actor)
  }

  fullCheck(actor: Actor): Step {
    return this.#checks.checkWrites(actor)
  }

  checkToPrepare(actor: Actor): Step {
    return this.#checks.checkWrites(actor)
  }
}

/** For TypeORM's inspection of the server during start-up, which may read in every mode. */
class StartingUp implements FencePolicy {
  readonly mayHold: boolean = false
  protected readonly usual: FencePolicy
  readonly #checks: FenceChecks

  constructor(checks: FenceChecks, usual: FencePolicy) {
    this.#checks = checks
    this.usual = usual
  }

  get isBlind(): boolean {
    return this.usual.isBlind
  }

  assertAdmitted(): void {}

  check(actor: Actor): Step {
    return this.#checks.checkWrites(actor)
  }

  fullCheck(actor: Actor): Step {
    return this.#checks.checkWrites(actor)
  }

  checkToPrepare(actor: Actor): Step {
    return this.#checks.checkWrites(actor)
  }
}

/** The same for a pool listener that sets up a connection. The schema exists, so a prepared transaction is fenced. */
class SettingUp extends StartingUp {
  override checkToPrepare(actor: Actor): Step {
    return this.usual.checkToPrepare(actor)
  }
}
