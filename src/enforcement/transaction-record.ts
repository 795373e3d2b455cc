import type { RefusedChange } from "../mode/refused-change"

/** A change of the ORM, and whether it has been made. */
interface Recorded {
  readonly change: RefusedChange
  readonly isMade: boolean
}

/** Changes of the ORM, each kind once, in the order in which they were expected or made. */
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
  /**
   * Savepoints, indexed by the transaction depth at which each began. An attempt that fails leaves an entry
   * that the next one replaces.
   */
  readonly #savepoints: (Savepoint | undefined)[] = []

  /** The changes that a veto undoes now. */
  get changes(): RefusedChange[] {
    return [...this.#changes.values()].map(({ change }) => change)
  }

  changed(change: RefusedChange): void {
    this.#record({ change, isMade: true })
  }

  /** Records a change that is about to be sent. */
  expect(change: RefusedChange): void {
    if (!this.#changes.get(keyOf(change))?.isMade) this.#record({ change, isMade: false })
  }

  /** Forgets the changes that were expected and not made: their statements were refused, or are over. */
  forgetExpected(): void {
    if (this.#changes.size === 0) return
    this.#changes = new Map([...this.#changes].filter(([, { isMade }]) => isMade))
  }

  afterCommit(work: AfterCommit): void {
    this.#afterCommit = [...this.#afterCommit, work]
  }

  /** Records a savepoint within this many transactions and savepoints. */
  savepoint(depth: number): void {
    this.#savepoints[depth] = { changes: this.#changes, afterCommit: this.#afterCommit }
  }

  /** Forgets the savepoints within this depth. */
  releaseSavepoint(depth: number): void {
    this.#savepoints.length = Math.min(this.#savepoints.length, depth)
  }

  /** Goes back to the savepoint within this depth. */
  rollBackToSavepoint(depth: number): void {
    const savepoint = this.#savepoints[depth]
    this.releaseSavepoint(depth)
    if (!savepoint) return
    this.#changes = savepoint.changes
    this.#afterCommit = savepoint.afterCommit
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
