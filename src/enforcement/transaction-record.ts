import type { RefusedChange } from "../mode/refused-change"

/** Changes of the ORM, each kind once. */
type Changes = Map<string, RefusedChange>

/** Work to be done when a transaction has been committed. */
export type AfterCommit = () => Promise<void>

interface Savepoint {
  readonly changes: Changes
  readonly afterCommit: readonly AfterCommit[]
}

/** Remembers what the ORM does in the running transaction of a query runner, and what follows its commit. */
export class TransactionRecord {
  #changes: Changes = new Map()
  /** The changes whose statements are not sent yet, or under way. */
  #announced: Changes = new Map()
  #afterCommit: readonly AfterCommit[] = []
  /** The innermost savepoint comes last. */
  readonly #savepoints: Savepoint[] = []

  /** The changes that a veto undoes now. */
  get changes(): RefusedChange[] {
    return [...new Map([...this.#changes, ...this.#announced]).values()]
  }

  changed(change: RefusedChange): void {
    this.#changes.set(keyOf(change), change)
  }

  /** Records a change that is about to be sent. */
  announce(change: RefusedChange): void {
    this.#announced.set(keyOf(change), change)
  }

  /** Forgets what was announced: its statement was run, or is not sent. */
  forgetAnnounced(): void {
    if (this.#announced.size > 0) this.#announced = new Map()
  }

  afterCommit(work: AfterCommit): void {
    this.#afterCommit = [...this.#afterCommit, work]
  }

  savepoint(): void {
    this.#savepoints.push({ changes: new Map(this.#changes), afterCommit: this.#afterCommit })
  }

  releaseSavepoint(): void {
    this.#savepoints.pop()
  }

  /** Goes back to the innermost savepoint; returns false if there is none. */
  rollBackToSavepoint(): boolean {
    const savepoint = this.#savepoints.pop()
    if (!savepoint) return false
    this.#changes = savepoint.changes
    this.#afterCommit = savepoint.afterCommit
    return true
  }

  /** The transaction is over; returns what is to follow its commit. */
  end(): readonly AfterCommit[] {
    const work = this.#afterCommit
    if (this.#changes.size > 0) this.#changes = new Map()
    this.forgetAnnounced()
    this.#afterCommit = []
    this.#savepoints.length = 0
    return work
  }
}

function keyOf({ operation, entity }: RefusedChange): string {
  return `${operation} ${entity}`
}
