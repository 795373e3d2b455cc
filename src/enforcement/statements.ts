import type { Actor } from "../mode/actor"
import { mayLackValues } from "../wire/pipelined-query"
import type { Result } from "../wire/protocol"
import type { Checkpoint, CheckpointOwner } from "./checkpoint"
import { exitOf, runAsOne, runExit } from "./failed-block"
import { isAnswer, type Request } from "./request"
import type { SelfCommitting } from "./self-committing"

/** The connection that statements are run on. */
export interface StatementOwner extends CheckpointOwner {
  /** The reason why everything of an actor is refused, if it is, as far as is known. */
  refusalOf(actor: Actor): Error | undefined
  /** Reports a refusal for which nothing was sent, and rejects with it. */
  refuse(error: unknown): Promise<never>
  /** Takes note of the user that a statement acts for. */
  note(request: Pick<Request, "actor" | "kind">): void
}

/** Texts after which a session may have forgotten what it had prepared. */
const forgetting = /deallocate|discard/i

/** Runs statements, each as the transaction status of the server and its text demand. */
export class Statements {
  readonly #owner: StatementOwner
  readonly #checkpoint: Checkpoint
  readonly #selfCommitting: SelfCommitting

  constructor(owner: StatementOwner, checkpoint: Checkpoint, selfCommitting: SelfCommitting) {
    this.#owner = owner
    this.#checkpoint = checkpoint
    this.#selfCommitting = selfCommitting
  }

  /** Runs a statement in its turn; rejects with the refusal. */
  run(request: Request): Promise<Result> {
    const { session } = this.#owner
    const { query, kind, end } = request
    if (kind !== "rollback") {
      this.#owner.note(request)
      const refusal = this.#owner.refusalOf(request.actor)
      if (refusal) return this.#owner.refuse(refusal)
    }
    // With values or a name it is PostgreSQL's to say what is wrong with it.
    if ((kind === "control" || end) && !query.isExtended) {
      const result = end ? session.forget(end) : session.postpone(query.text)
      if (result) return Promise.resolve(result)
    }
    if (kind !== "atomic" && forgetting.test(query.text)) session.forgetPrepared()
    if (session.is("I")) return this.#runAlone(request)
    if (session.is("E")) return this.#runInFailed(request)
    return this.#runInTransaction(request)
  }

  /** Outside a transaction block: what a statement changes is committed with it. */
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

  /** In a failed block PostgreSQL refuses all but its end; what follows that in the same text is run as anywhere else. */
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

  /** Inside a transaction block: only its end is of interest, as long as exclusive mode would be known of. */
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
    // A COMMIT that fails leaves no transaction behind, whatever it failed for.
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
