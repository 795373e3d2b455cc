import { AccessRefusedError, MaintenanceSetupError, StateUnavailableError, WriteVetoedError } from "../errors"
import type { RefusedChange } from "../mode/refused-change"
import type { Actor } from "../mode/actor"
import { mayLackValues, type Companions, type PipelinedQuery } from "../wire/pipelined-query"
import type { Result, Step } from "../wire/protocol"
import type { Session } from "../wire/session"
import type { Fence } from "./fence"
import type { FencePolicy } from "./fence-policy"
import { codeOf, endsSession, isAnswer, isReadOnly, noPortal } from "./request"

/** What a connection's statements are checked with. */
export interface CheckpointOwner {
  readonly session: Session
  readonly fence: Fence
  /** The ORM's changes of the running transaction. */
  readonly changes: readonly RefusedChange[]
  /** What is asked of the fence, in the situation of the connection. */
  readonly policy: FencePolicy
  /** Whether a pooler gives every transaction another connection, so that no session can hold a lock. */
  readonly isPooled: boolean
  /** Told of every refusal; returns the error, to be thrown. */
  refused(error: unknown): unknown
}

/** PostgreSQL's code for a statement that gets fewer values than it has parameters, by the extended protocol. */
const noValues = "08P01"
const cannotHold =
  "This statement may commit by itself, or is one of several in a text, so a session must hold a lock for it; behind a pooler " +
  "that gives every transaction another connection, none can. Run it in a transaction, send the statements one by one, or " +
  "run it by a DataSource that connects past the pooler."
/** How often to read the state again, if it changes just while it is read. */
const maxHoldAttempts = 10

/** Has the server check what a connection sends, and makes refusals of its answers. */
export class Checkpoint {
  readonly #owner: CheckpointOwner
  /**
   * The epoch at which this session holds a share of the gate that outlasts transactions; null if it may hold one, because
   * taking it has failed, by a cancel perhaps that came too late.
   */
  #heldEpoch: number | null | undefined

  /** Whether the block that may be open was begun here, for one statement. */
  #isInBlock = false

  constructor(owner: CheckpointOwner) {
    this.#owner = owner
  }

  /**
   * Sends one statement outside a block, with its last check in the same round trip, so that it is run once, and stored if
   * the check passes. Throws the refusal.
   */
  sendAlone(query: PipelinedQuery, actor: Actor): Promise<Result> {
    const { session } = this.#owner
    const check = this.#owner.policy.check(actor)
    const companions = { after: [check] }
    return session.sendLast(query, companions, (cause) => {
      if (codeOf(cause) === noValues && mayLackValues(query)) return this.#sendSimply(query, actor, cause)
      // It has closed all portals, be it by a function, and with them that of the check.
      if (codeOf(cause) === noPortal && query.failure === check)
        return this.send(query.renew(), { ...companions, bindsLate: true }, actor)
      return this.#failed(query, companions, actor, cause)
    })
  }

  /** Sends a statement with a check in the same round trip; throws the refusal. */
  send(query: PipelinedQuery, companions: Companions, actor: Actor): Promise<Result> {
    return this.#owner.session.send(query, companions, (error) =>
      this.#failed(query, companions, actor, error),
    )
  }

  /**
   * Sends one statement outside a block in a block of its own, in one round trip; throws the refusal. What the server has
   * against the statement goes to `failed`, when all is rolled back.
   */
  sendInBlock(
    query: PipelinedQuery,
    actor: Actor,
    failed: (error: unknown) => Promise<Result>,
  ): Promise<Result> {
    const { session } = this.#owner
    const check = this.#owner.policy.fullCheck(actor)
    const companions = { before: [session.step("BEGIN")], after: [check, session.step("COMMIT")] }
    // What pg has against the statement (a value, `query_timeout`) may leave the block: then it is left in settle().
    this.#isInBlock = true
    return session.send(query, companions, async (error) => {
      if (!isAnswer(error)) throw error
      await session.rollBack()
      // What is run in its place may leave a block that the caller has begun.
      this.#isInBlock = false
      if (query.failure === "statement") return failed(error)
      // It has closed all portals by a function, and with them those of what follows it.
      if (codeOf(error) === noPortal) return failed(error)
      if (query.failure === check) throw this.refuse(error, actor)
      return this.#endFailed(actor, error)
    })
  }

  /** Throws the refusal of whoever may not even read. */
  async admitReader(actor: Actor): Promise<void> {
    await this.#run(this.#owner.fence.admitReader(actor), actor)
  }

  /** Leaves nothing of one statement for the next; nothing to wait for if there is nothing. */
  settle(): Promise<void> | undefined {
    const { session } = this.#owner
    const wasInBlock = this.#isInBlock
    this.#isInBlock = false
    if (wasInBlock && !session.is("I")) return session.rollBack().then(() => this.#unholdOutside())
    return this.#unholdOutside()
  }

  /** Outside a transaction no share of the gate is kept. */
  #unholdOutside(): Promise<void> | undefined {
    return this.#heldEpoch !== undefined && this.#owner.session.is("I") ? this.unhold() : undefined
  }

  /** Takes a share of the gate for longer than a transaction; returns whether the actor may write at all. */
  async hold(actor: Actor): Promise<boolean> {
    const { session, fence, isPooled } = this.#owner
    if (isPooled) throw new MaintenanceSetupError(cannotHold)
    for (let attempt = 1; ; attempt++) {
      await this.unhold()
      try {
        const [row] = await session.runAhead<{ epoch: string | null }>(fence.hold(actor))
        const epoch = row?.epoch ?? undefined
        this.#heldEpoch = epoch === undefined ? undefined : Number(epoch)
        return this.#heldEpoch !== undefined
      } catch (error) {
        // Given up by pg (query_timeout), it may still come to hold: nobody could give it back then.
        if (!isAnswer(error)) session.destroy()
        this.#heldEpoch = null
        await session.ready()
        // The state changed while it was read, under a default isolation level above READ COMMITTED.
        const isStale = codeOf(error) === "40001" && !session.is("E")
        if (!isStale || attempt === maxHoldAttempts) throw this.refuse(error, actor)
      }
    }
  }

  /** Gives the share of the gate back, if there is one; ends the connection if it cannot, which gives it back, too. */
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

  /** The veto of something that could not be undone at commit. */
  async veto(actor: Actor, why: string, cause?: unknown): Promise<Error> {
    const { session, fence } = this.#owner
    try {
      await session.run(fence.admit(actor))
    } catch (error) {
      const refusal = fence.translate(error, this.#owner.changes) as Error
      return refusal instanceof WriteVetoedError ? fence.vetoUnchecked(refusal, why, cause) : refusal
    } finally {
      await session.ready()
    }
    return new StateUnavailableError("The maintenance ended while this was refused: run it again.", { cause })
  }

  /** What the server's answer to a check for an actor means; tells of it, if it is a refusal. */
  refuse(error: unknown, actor: Actor): unknown {
    const { fence } = this.#owner
    const translated = fence.translate(error, this.#owner.changes)
    if (translated instanceof WriteVetoedError || translated instanceof AccessRefusedError)
      fence.refused(actor)
    return this.#owner.refused(translated)
  }

  /** By the simple protocol, under the gate, for the error that it has. */
  async #sendSimply(query: PipelinedQuery, actor: Actor, error: unknown): Promise<Result> {
    const { session } = this.#owner
    await session.ready()
    if (await this.hold(actor)) return session.send(query.renew())
    throw error
  }

  async #failed(
    query: PipelinedQuery,
    companions: Companions,
    actor: Actor,
    error: unknown,
  ): Promise<Result> {
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

  /** A transaction failed as it ended, after its check, which had made it read-only perhaps: then that is the refusal. */
  async #endFailed(actor: Actor, error: unknown): Promise<never> {
    if (codeOf(error) === isReadOnly) {
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
