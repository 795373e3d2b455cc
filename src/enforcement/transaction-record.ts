import type { RefusedChange } from "../mode/refused-change"

/** A change of the ORM, and whether it has been made. */
interface Recorded {
  readonly change: RefusedChange
  readonly isMade: boolean
}

/** Changes of the ORM, each kind once, in the order in which they were announced or made. */
type Changes = ReadonlyMap<string, Recorded>

/** Work to be done when a transaction has been committed. */
export type AfterCommit = () => Promise<void>

interface Savepoint {
  readonly changes: Changes
  readonly afterCommit: readonly AfterCommit[]
}

/** Remembers what the ORM does in the running transaction of a query runner, and what follows its commit. */
export class TransactionRecord {
  #changes: Changes = new Map()
  #afterCommit: readonly AfterCommit[] = []
  /** The innermost savepoint comes last. */
  readonly #savepoints: Savepoint[] = []

  /** The changes that a veto undoes now. */
  get changes(): RefusedChange[] {
    return [...this.#changes.values()].map(({ change }) => change)
  }

  changed(change: RefusedChange): void {
    this.#record({ change, isMade: true })
  }

  /** Records a change that is about to be sent. */
  announce(change: RefusedChange): void {
    if (!this.#changes.get(keyOf(change))?.isMade) this.#record({ change, isMade: false })
  }

  /** Forgets the announced changes that were not made: their statements were refused, or are over. */
  forgetAnnounced(): void {
    if (this.#changes.size === 0) return
    this.#changes = new Map([...this.#changes].filter(([, { isMade }]) => isMade))
  }

  afterCommit(work: AfterCommit): void {
    this.#afterCommit = [...this.#afterCommit, work]
  }

  savepoint(): void {
    this.#savepoints.push({ changes: this.#changes, afterCommit: this.#afterCommit })
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
    this.#afterCommit = []
    this.#savepoints.length = 0
    return work
  }

  #record(recorded: Recorded): void {
    this.#changes = new Map(this.#changes).set(keyOf(recorded.change), recorded)
  }
}

function keyOf({ operation, entity }: RefusedChange): string {
  return `${operation} ${entity}`
}
