import type { Actor } from "../mode/actor"
import { mayLackValues } from "../wire/pipelined-query"
import type { Result } from "../wire/protocol"
import type { Checkpoint, CheckpointOwner } from "./checkpoint"
import { exitOf, runAsOne, runExit } from "./failed-block"
import { isAnswer, type Request } from "./request"
import type { SelfCommitting } from "./self-committing"
import { mayForgetPrepared } from "./statement-kind"

/** The connection that statements run on. */
export interface StatementOwner extends CheckpointOwner {
  /** The error with which every statement of an actor is refused, if so, as far as is known. */
  refusalOf(actor: Actor): Error | undefined
  /** Reports a refusal for which nothing was sent, and rejects with it. */
  refuse(error: unknown): Promise<never>
  /** Records the user that a statement acts for. */
  note(request: Pick<Request, "actor" | "kind">): void
}

/** Runs statements according to their text and the transaction status of the server. */
export class Statements {
  readonly #owner: StatementOwner
  readonly #checkpoint: Checkpoint
  readonly #selfCommitting: SelfCommitting

  constructor(owner: StatementOwner, checkpoint: Checkpoint, selfCommitting: SelfCommitting) {
    this.#owner = owner
    this.#checkpoint = checkpoint
    this.#selfCommitting = selfCommitting
  }

  /** Runs a statement in its turn. Rejects with the refusal. */
  run(request: Request): Promise<Result> {
    const { session } = this.#owner
    const { query, kind, end } = request
    if (kind !== "rollback") {
      this.#owner.note(request)
      const refusal = this.#owner.refusalOf(request.actor)
      if (refusal) return this.#owner.refuse(refusal)
    }
    // With values or a name, PostgreSQL itself must report the error.
    if ((kind === "control" || end) && !query.isExtended) {
      const result = end ? session.forget(end) : session.postpone(query.text)
      if (result) return Promise.resolve(result)
    }
    if (mayForgetPrepared(kind, query.text)) session.forgetPrepared()
    if (session.is("I")) return this.#runAlone(request)
    if (session.is("E")) return this.#runInFailed(request)
    return this.#runInTransaction(request)
  }

  /** Runs a statement outside a transaction block, where its changes are committed with it. */
  #runAlone(request: Request): Promise<Result> {
    const { query, actor } = request
    switch (request.kind) {
      case "atomic":
        return this.#checkpoint.sendAlone(query, actor)
      case "other":
      case "several":
        return this.#selfCommitting.run(request)
      default:
        return this.#owner.session.sendLast(query)
    }
  }

  /**
   * Runs a statement in a failed block. PostgreSQL refuses everything there except the end of the block; the
   * rest of the same text runs as anywhere else.
   */
  async #runInFailed(request: Request): Promise<Result> {
    const { session } = this.#owner
    const { query, kind } = request
    const exit = kind === "several" ? exitOf(query.text) : undefined
    if (!exit) return session.send(query)
    if (exit === "uncertain") return runAsOne(session, query)
    const first = await runExit(session, query.text, exit)
    const results = [await this.run({ ...request, query: query.renew() })].flat()
    return [first, ...results.slice(1)].flat()
  }

  /**
   * Runs a statement inside a transaction block. Only the end is checked, as long as exclusive mode would be
   * known.
   */
  #runInTransaction(request: Request): Promise<Result> {
    const { session, policy } = this.#owner
    const { query, kind, actor } = request
    const send = (): Promise<Result> => {
      if (!request.mayEndTransaction) {
        const isOne = kind === "control" || (kind === "atomic" && !mayLackValues(query))
        return session.sendLast(query, { isOne })
      }
      if (kind === "several") return this.#selfCommitting.run(request)
      const as = request.end && !query.isExtended ? session.step(request.end) : undefined
      const check = mayPrepare(query.text) ? policy.checkToPrepare(actor) : policy.check(actor)
      return this.#checkpoint.send(query, { before: [check], as }, actor)
    }
    const isToAsk = policy.isBlind && kind !== "control" && kind !== "rollback"
    const result = isToAsk ? this.#checkpoint.admitReader(actor).then(send) : send()
    if (kind !== "commit") return result
    // A COMMIT that fails, for any reason, leaves no transaction behind.
    return result.catch(async (error) => {
      if (isAnswer(error)) await session.rollBack()
      throw error
    })
  }
}

/** Whether a text may be PREPARE TRANSACTION. */
function mayPrepare(text: string): boolean {
  return /\bprepare\b/i.test(text) && /\btransaction\b/i.test(text)
}
