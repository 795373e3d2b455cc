import { MaintenanceSetupError } from "../errors"
import { mayLackValues, noCompany, type Companions } from "../wire/pipelined-query"
import type { Escort } from "../wire/escort"
import type { Submittable, Result } from "../wire/protocol"
import type { Actor } from "../mode/actor"
import { Checkpoint, type CheckpointOwner } from "./checkpoint"
import { isAnswer, isOfSeveral, startsTransaction, type Request } from "./request"
import { codeOf, sqlState } from "../sqlstate"
import type { Classified } from "./statement-kind"

/** SQLSTATEs for a statement that does not run inside a transaction block. */
const needsNoBlock = new Set<string>([sqlState.activeTransaction, sqlState.invalidTermination])
/** Texts that may end a transaction and start the next at once. */
const chains = /\band\s+chain\b/i
const severalStatements =
  "A text of several statements that may end a transaction cannot be checked. Send the statements one by one."
const preparesUnseen =
  "The text was not run, because PREPARE TRANSACTION is one of several statements in it. No drain would wait for " +
  "the prepared transaction, and it could be committed in a window. Send PREPARE TRANSACTION by itself."
const commitsItself = "This statement commits by itself, so it could not be rolled back."

/** Runs statements that may commit by themselves, and so bypass a check at their end. */
export class SelfCommitting {
  readonly #owner: CheckpointOwner
  readonly #checkpoint: Checkpoint

  constructor(owner: CheckpointOwner, checkpoint: Checkpoint) {
    this.#owner = owner
    this.#checkpoint = checkpoint
  }

  /** Runs a statement. */
  run(request: Request): Promise<Result> {
    const { query, actor, kind, looksAtomic } = request
    if (kind === "several" && mayPrepareTransaction(query.text))
      return Promise.reject(new MaintenanceSetupError(preparesUnseen))
    const closesPortals = this.#owner.fence.portalClosers.has(query.text)
    const isApart = !looksAtomic || closesPortals || mayLackValues(query)
    if (isApart || !this.#owner.session.is("I")) return this.#hold(request)
    return this.#checkpoint.sendInBlock(query, actor, (error) => {
      const isToHold =
        query.failure === "statement" ? isOfSeveral(error) : codeOf(error) === sqlState.noSuchPortal
      if (!isToHold) throw error
      return this.#hold({ ...request, query: query.renew() })
    })
  }

  /** Holds the gate from before the statement until after it. */
  async #hold(request: Request): Promise<Result> {
    const { session } = this.#owner
    const mayCommit = this.#owner.policy.mayHold && (await this.#checkpoint.hold(request.actor))
    if (!mayCommit) return this.#runAsReader(request)
    const result = await session.send(request.query)
    await session.ready()
    // Not as the first query of a transaction just begun, because SET TRANSACTION would come too late after
    // it.
    const last = [result].flat().slice(-1)
    if (session.is("T") && !startsTransaction(last) && !chains.test(request.query.text))
      await this.#checkpoint.unhold()
    return result
  }

  /**
   * Does the same for a submittable of one statement. The block of an actor who may only read is READ ONLY,
   * so that the server refuses a write immediately.
   */
  async submit(
    query: Submittable,
    { actor, kind }: Classified & { actor: Actor },
    escort: Escort,
  ): Promise<void> {
    const { session } = this.#owner
    if (kind === "several" && mayPrepareTransaction(session.textOf(query) ?? query.cursor?.text ?? ""))
      throw new MaintenanceSetupError(preparesUnseen)
    if (await this.#checkpoint.hold(actor)) return session.submit(query, escort)
    if (kind === "several" || !session.is("I")) {
      throw this.#owner.refused(await this.#checkpoint.veto(actor, severalStatements))
    }
    const veto = await this.#checkpoint.veto(actor, commitsItself)
    // READ ONLY refuses most writes immediately. The fence refuses the rest (ANALYZE; before PostgreSQL 18,
    // large objects).
    await session.run({ text: "BEGIN READ ONLY", values: [] })
    await session.submit(query, {
      ...escort,
      translate: (error) => (isRefusedInBlock(error) ? (this.#owner.refused(veto) as Error) : error),
      conclude: async () => {
        if (session.is("T")) await this.#endBlock(actor)
      },
    })
    await session.rollBack()
  }

  /** Ends the block of an actor who may only read, with the final check. */
  #endBlock(actor: Actor): Promise<Result> {
    const { session } = this.#owner
    return this.#checkpoint.send(
      session.statement("COMMIT"),
      { before: [this.#owner.policy.check(actor)] },
      actor,
    )
  }

  /**
   * Runs a statement of an actor who may only read in a block, the caller's or its own, where it cannot
   * commit by itself.
   */
  async #runAsReader(request: Request): Promise<Result> {
    const { session } = this.#owner
    const check = [this.#owner.policy.check(request.actor)]
    if (!session.is("I")) return this.#sendAsOne(request, { before: check })
    await session.run({ text: "BEGIN", values: [] })
    let result: Result
    try {
      result = await this.#sendAsOne(request, noCompany)
      await session.ready()
    } catch (error) {
      await this.#leaveBlock(error)
      if (!needsNoBlock.has(codeOf(error))) throw error
      throw this.#owner.refused(await this.#checkpoint.veto(request.actor, commitsItself, error))
    }
    if (!session.is("T") || startsTransaction([result].flat())) return result
    try {
      await this.#endBlock(request.actor)
    } catch (error) {
      await this.#leaveBlock(error)
      throw error
    }
    return result
  }

  /** Ends the block that was begun here. If no answer comes (`query_timeout`), closes the connection. */
  async #leaveBlock(error: unknown): Promise<void> {
    if (isAnswer(error)) await this.#owner.session.rollBack()
    else this.#owner.session.destroy()
  }

  /** Sends a text that may end the transaction in such a way that the server accepts only one statement. */
  async #sendAsOne(request: Request, companions: Companions): Promise<Result> {
    const { session } = this.#owner
    if (request.kind === "several" && !request.mayEndTransaction) return session.send(request.query)
    try {
      return await this.#checkpoint.send(request.query, companions, request.actor)
    } catch (error) {
      if (!isOfSeveral(error)) throw error
      await session.rollBack()
      throw this.#owner.refused(await this.#checkpoint.veto(request.actor, severalStatements, error))
    }
  }
}

/**
 * Whether a text contains the two words with only white space, or the beginning of a comment, between them.
 */
function mayPrepareTransaction(text: string): boolean {
  return /\bprepare(?:\s+|\s*(?:\/\*|--)[^]*?)transaction\b/i.test(text)
}

/** Whether PostgreSQL has refused a statement because it runs in a block, or in a read-only one. */
function isRefusedInBlock(error: unknown): boolean {
  return codeOf(error) === sqlState.readOnly || needsNoBlock.has(codeOf(error))
}
