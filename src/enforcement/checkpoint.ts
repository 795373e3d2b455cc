import { AccessRefusedError, MaintenanceSetupError, StateUnavailableError, WriteVetoedError } from "../errors"
import type { RefusedStatement } from "../mode/refusal-facts"
import type { Actor } from "../mode/actor"
import { mayLackValues, type Companions, type PipelinedQuery } from "../wire/pipelined-query"
import type { Result, Step } from "../wire/protocol"
import type { Session } from "../wire/session"
import type { Fence } from "./fence"
import type { FencePolicy } from "./fence-policy"
import { codeOf, endsSession, sqlState } from "../sqlstate"
import { isAnswer } from "./request"

/** The parts of a connection that checking its statements needs. */
export interface CheckpointOwner {
  readonly session: Session
  readonly fence: Fence
  /** Facts about the running statement, for its refusal. */
  readonly refusedStatement: RefusedStatement
  /** The policy for the connection's present situation. */
  readonly policy: FencePolicy
  /** Whether a pooler gives every transaction another connection, so that no session can hold a lock. */
  readonly isPooled: boolean
  /** Reports a refusal. Returns the error to throw. */
  refused(error: unknown): unknown
}

/** A statement that was sent with its check, for an actor. */
interface Sent {
  readonly query: PipelinedQuery
  readonly companions: Companions
  readonly actor: Actor
}

const cannotHold =
  "The statement was not sent. It may commit by itself, or is one of several in a text, so its session must hold a lock. " +
  "Behind a pooler that gives every transaction another connection, no session can. Run the statement in a transaction, " +
  "send the statements one by one, or use a DataSource that connects past the pooler."
/** Maximum number of attempts to take the gate while the state keeps changing. */
const maxHoldAttempts = 10

/** Attaches the server-side checks to the statements of a connection, and turns the answers into refusals. */
export class Checkpoint {
  readonly #owner: CheckpointOwner
  /**
   * The epoch at which this session holds a share of the gate that outlasts transactions. Null if it may hold
   * one, because taking it failed, perhaps by a cancel that came too late.
   */
  #heldEpoch: number | null | undefined

  /** Whether a block that may be open was begun here, for one statement. */
  #isInBlock = false

  constructor(owner: CheckpointOwner) {
    this.#owner = owner
  }

  /**
   * Sends one statement outside a block, with its final check in the same round trip. It runs once, and is
   * stored if the check passes. Throws the refusal.
   */
  sendAlone(query: PipelinedQuery, actor: Actor): Promise<Result> {
    const { session } = this.#owner
    const check = this.#owner.policy.check(actor)
    const companions = { after: [check] }
    const { portalClosers } = this.#owner.fence
    if (portalClosers.has(query.text)) return this.send(query, { ...companions, bindsLate: true }, actor)
    return session.sendLast(query, companions, (cause) => {
      if (codeOf(cause) === sqlState.protocolViolation && mayLackValues(query))
        return this.#sendSimply(query, actor, cause)
      // The statement, or a function in it, has closed all portals, among them that of the check.
      if (codeOf(cause) === sqlState.noSuchPortal && query.failure === check) {
        portalClosers.add(query.text)
        return this.send(query.renew(), { ...companions, bindsLate: true }, actor)
      }
      return this.#failed({ query, companions, actor }, cause)
    })
  }

  /** Sends a statement with a check in the same round trip. Throws the refusal. */
  send(query: PipelinedQuery, companions: Companions, actor: Actor): Promise<Result> {
    return this.#owner.session.send(query, companions, (error) =>
      this.#failed({ query, companions, actor }, error),
    )
  }

  /**
   * Sends one statement outside a block in a block of its own, in one round trip. Throws the refusal. After
   * the rollback, `failed` receives the server's error about the statement itself.
   */
  sendInBlock(
    query: PipelinedQuery,
    actor: Actor,
    failed: (error: unknown) => Promise<Result>,
  ): Promise<Result> {
    const { session } = this.#owner
    const check = this.#owner.policy.fullCheck(actor)
    const companions = { before: [session.step("BEGIN")], after: [check, session.step("COMMIT")] }
    // A failure in pg (a value, `query_timeout`) may leave the block open. Then `settle()` ends it.
    this.#isInBlock = true
    return session.send(query, companions, async (error) => {
      if (!isAnswer(error)) throw error
      await session.rollBack()
      // The statement that runs instead may leave a block that the caller has begun.
      this.#isInBlock = false
      if (query.failure === "statement") return failed(error)
      // A function in it has closed all portals, among them those of the following statements.
      if (codeOf(error) === sqlState.noSuchPortal) {
        this.#owner.fence.portalClosers.add(query.text)
        return failed(error)
      }
      if (query.failure === check) throw this.refuse(error, actor)
      return this.#endFailed(actor, error)
    })
  }

  /** Throws the refusal of an actor who may not even read. */
  async admitReader(actor: Actor): Promise<void> {
    await this.#run(this.#owner.fence.admitReader(actor), actor)
  }

  /** Cleans up after a statement. Returns undefined if there is nothing to do. */
  settle(): Promise<void> | undefined {
    const { session } = this.#owner
    const wasInBlock = this.#isInBlock
    this.#isInBlock = false
    if (wasInBlock && !session.is("I")) return session.rollBack().then(() => this.#unholdOutside())
    return this.#unholdOutside()
  }

  /** Outside a transaction, no share of the gate is kept. */
  #unholdOutside(): Promise<void> | undefined {
    return this.#heldEpoch !== undefined && this.#owner.session.is("I") ? this.unhold() : undefined
  }

  /**
   * Takes a share of the gate that outlasts the transaction. Resolves with whether the actor may write at
   * all.
   */
  async hold(actor: Actor): Promise<boolean> {
    const { session, fence, isPooled } = this.#owner
    if (isPooled) throw new MaintenanceSetupError(cannotHold)
    for (let attempt = 1; ; attempt++) {
      // In a failed transaction the server releases nothing, and refuses what follows.
      if (!session.is("E")) await this.unhold()
      try {
        const [row] = await session.runAhead<{ epoch: string | null }>(fence.hold(actor))
        const epoch = row?.epoch ?? undefined
        this.#heldEpoch = epoch === undefined ? undefined : Number(epoch)
        return this.#heldEpoch !== undefined
      } catch (error) {
        // pg has given up waiting (`query_timeout`), but the server may still take the share, and nothing
        // would release it.
        if (!isAnswer(error)) session.destroy()
        this.#heldEpoch = null
        await session.ready()
        // The state changed while it was read, and the default isolation level is above READ COMMITTED.
        const isStale = codeOf(error) === sqlState.serializationFailure && !session.is("E")
        if (!isStale || attempt === maxHoldAttempts) throw this.refuse(error, actor)
      }
    }
  }

  /**
   * Releases the share of the gate, if there is one. If that fails, closes the connection, which releases it,
   * too.
   */
  async unhold(): Promise<void> {
    const { session, fence } = this.#owner
    if (this.#heldEpoch === undefined || session.isEnded) return
    const step = fence.unhold(this.#heldEpoch)
    this.#heldEpoch = undefined
    try {
      const rows = await session.runAhead<{ is_unlocked: string }>(step)
      if (rows.some((row) => row.is_unlocked !== "true")) session.destroy()
    } catch {
      session.destroy()
    }
    await session.ready()
  }

  /** The veto of a statement that could not be undone at commit. */
  async veto(actor: Actor, why: string, cause?: unknown): Promise<Error> {
    const { session, fence } = this.#owner
    try {
      await session.run(fence.admit(actor))
    } catch (error) {
      return fence.translate(error, { ...this.#owner.refusedStatement, why, cause }) as Error
    } finally {
      await session.ready()
    }
    return new StateUnavailableError(
      "The maintenance ended while this statement was being refused. Run the statement again.",
      { cause },
    )
  }

  /** Translates the server's answer to a check for an actor, and reports it if it is a refusal. */
  refuse(error: unknown, actor: Actor): unknown {
    const { fence } = this.#owner
    const translated = fence.translate(error, this.#owner.refusedStatement)
    if (translated instanceof WriteVetoedError || translated instanceof AccessRefusedError)
      fence.refused(actor)
    return this.#owner.refused(translated)
  }

  /** Sends the statement by the simple protocol, under the gate, to get the error that it has there. */
  async #sendSimply(query: PipelinedQuery, actor: Actor, error: unknown): Promise<Result> {
    const { session } = this.#owner
    await session.ready()
    if (await this.hold(actor)) return session.send(query.renew())
    throw error
  }

  async #failed({ query, companions, actor }: Sent, error: unknown): Promise<Result> {
    const { session } = this.#owner
    const { failure } = query
    const { before = [], after = [] } = companions
    if (!isAnswer(error) || endsSession(error)) throw error
    await session.ready()
    if (before.includes(failure as Step) || after.includes(failure as Step)) throw this.refuse(error, actor)
    const isAfterCheck = failure === "end" || (failure === "statement" && before.length > 0)
    if (isAfterCheck) return this.#endFailed(actor, error)
    throw error
  }

  /**
   * Handles a transaction that failed at its end, after its check. If the check had made it read-only, that
   * is the refusal.
   */
  async #endFailed(actor: Actor, error: unknown): Promise<never> {
    if (codeOf(error) === sqlState.readOnly) {
      await this.#owner.session.rollBack()
      await this.#run(this.#owner.fence.admit(actor), actor)
    }
    throw error
  }

  async #run(step: Step, actor: Actor): Promise<void> {
    try {
      await this.#owner.session.run(step)
    } catch (error) {
      if (isAnswer(error)) await this.#owner.session.ready()
      throw this.refuse(error, actor)
    }
  }
}
