import type { Actor } from "../mode/actor"
import type { Escort } from "../wire/escort"
import type { Submittable } from "../wire/protocol"
import type { Checkpoint } from "./checkpoint"
import { exitOf, runExit } from "./failed-block"
import { isExtendedObject } from "./query-forms"
import type { SelfCommitting } from "./self-committing"
import { classify, type Classified, mayForgetPrepared } from "./statement-kind"
import type { StatementOwner } from "./statements"

/** The connection that submittables run on. */
export interface SubmittableOwner extends StatementOwner {
  /** The user of the running code. Throws MaintenanceSetupError if the application cannot determine it. */
  actor(): Actor
  /** Whether the running code is a pool listener that sets up this connection. */
  isSetUp(): boolean
  /** Begins a turn, of a pool listener or not. */
  beginTurn(isSetUp: boolean): void
}

/** The classification of a submittable that hides its text: it may do anything. */
const unknownText: Classified = {
  kind: "several",
  mayEndTransaction: true,
}

/** Runs the caller's submittables (streams, cursors, COPY), each with the check that it needs. */
export class SubmittableRequests {
  readonly #owner: SubmittableOwner
  readonly #checkpoint: Checkpoint
  readonly #selfCommitting: SelfCommitting

  constructor(owner: SubmittableOwner, checkpoint: Checkpoint, selfCommitting: SelfCommitting) {
    this.#owner = owner
    this.#checkpoint = checkpoint
    this.#selfCommitting = selfCommitting
  }

  /** Runs a submittable in its turn. Rejects with errors that the submittable itself does not receive. */
  async request(query: Submittable): Promise<void> {
    const owner = this.#owner
    let actor: Actor
    try {
      actor = owner.actor()
    } catch (error) {
      return owner.refuse(error)
    }
    const escort: Escort = {
      isExtended: isExtendedObject(query),
      refuse: () => owner.refused(owner.refusalOf(actor)) as Error | undefined,
    }
    const isSetUp = owner.isSetUp()
    await owner.session.inTurn(() => {
      owner.beginTurn(isSetUp)
      return this.#run(query, actor, escort)
    })
  }

  async #run(query: Submittable, actor: Actor, escort: Escort): Promise<void> {
    const owner = this.#owner
    const { session } = owner
    // Read in its turn, just before it is sent, since the caller may have changed the object.
    const text = session.textOf(query) ?? query.cursor?.text
    const classified = text === undefined ? unknownText : classify(text, escort.isExtended === true)
    const { kind, mayEndTransaction } = classified
    owner.note({ actor, kind })
    const refusal = kind === "rollback" ? undefined : owner.refusalOf(actor)
    if (refusal) return owner.refuse(refusal)
    if (text === undefined || mayForgetPrepared(kind, text)) session.forgetPrepared()
    if (session.is("E") && text !== undefined) {
      const exit = kind === "several" ? exitOf(text) : undefined
      if (!exit) return session.submit(query, escort)
      // If it is uncertain, PostgreSQL refuses the `hold()` in the failed block.
      if (exit !== "uncertain") await runExit(session, text, exit)
    }
    // Outside a transaction, COMMIT does nothing.
    const isToPass = kind === "control" || kind === "rollback" || (kind === "commit" && session.is("I"))
    if (isToPass) return session.submit(query, { isExtended: escort.isExtended === true })
    if (session.is("I") && kind === "atomic") return this.#submitAlone(query, actor, escort)
    if (!session.is("I") && !mayEndTransaction) {
      if (owner.policy.isBlind && session.is("T")) await this.#checkpoint.admitReader(actor)
      return session.submit(query, escort)
    }
    return this.#selfCommitting.submit(query, { ...classified, actor }, escort)
  }

  /** Submits one statement outside a block, with its check under the same Sync. */
  #submitAlone(query: Submittable, actor: Actor, escort: Escort): Promise<void> {
    const { session, policy } = this.#owner
    const translate = (error: Error, isOfStep: boolean) =>
      isOfStep ? (this.#checkpoint.refuse(error, actor) as Error) : error
    return session.submit(query, { ...escort, step: policy.check(actor), translate })
  }
}
