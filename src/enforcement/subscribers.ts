import type { DataSource, EntityMetadata, EntitySubscriberInterface, QueryRunner } from "typeorm"
import type { Actor } from "../mode/actor"
import type { RefusedChange } from "../mode/refused-change"
import { anybody, restrictionOf } from "../mode/restriction"
import { shared } from "../shared"
import type { StateView } from "../watch/state-view"
import { isFencedQueryRunner } from "./query-runner"

/** Properties of TypeORM's events that the subscribers read. */
interface ChangeEvent {
  readonly queryRunner: QueryRunner
  readonly metadata: EntityMetadata
}

/** Records what the ORM has changed in a transaction, so that a veto at its commit can name it. */
class ChangeRecorder implements EntitySubscriberInterface {
  afterInsert(event: ChangeEvent): void {
    record(event, "insert")
  }

  afterUpdate(event: ChangeEvent): void {
    record(event, "update")
  }

  afterRemove(event: ChangeEvent): void {
    record(event, "remove")
  }

  afterSoftRemove(event: ChangeEvent): void {
    record(event, "soft-remove")
  }

  afterRecover(event: ChangeEvent): void {
    record(event, "recover")
  }
}

/** A target that no entity matches. */
class NoEntity {}

/**
 * Records the changes that the ORM is about to make for a restricted user, because a statement outside a
 * transaction is vetoed before TypeORM sends an `after*` event. Refuses them at once where `vetoAt` says so.
 * TypeORM computes each entity again after a `before*` method, so this is subscribed only while a window
 * stands.
 */
class ExpectedChanges implements EntitySubscriberInterface {
  readonly #isRestricted: () => boolean
  /**
   * The answer for the code that runs now. TypeORM asks several times for each entity, also for loaded ones.
   */
  #answer: { readonly context: unknown; readonly isRestricted: boolean } | undefined

  constructor(isRestricted: () => boolean) {
    this.#isRestricted = isRestricted
  }

  /** TypeORM computes nothing again for an unrestricted user. */
  listenTo(): Function {
    const context = shared.context.getStore()
    if (this.#answer?.context !== context || this.#answer === undefined) {
      if (!this.#answer) queueMicrotask(() => (this.#answer = undefined))
      this.#answer = { context, isRestricted: this.#isRestricted() }
    }
    return this.#answer.isRestricted ? Object : NoEntity
  }

  beforeInsert(event: ChangeEvent): Promise<void> | undefined {
    return expectChange(event, "insert")
  }

  beforeUpdate(event: ChangeEvent): Promise<void> | undefined {
    return expectChange(event, "update")
  }

  beforeRemove(event: ChangeEvent): Promise<void> | undefined {
    return expectChange(event, "remove")
  }

  beforeSoftRemove(event: ChangeEvent): Promise<void> | undefined {
    return expectChange(event, "soft-remove")
  }

  beforeRecover(event: ChangeEvent): Promise<void> | undefined {
    return expectChange(event, "recover")
  }
}

function record({ queryRunner, metadata }: ChangeEvent, operation: RefusedChange["operation"]): void {
  if (isFencedQueryRunner(queryRunner)) queryRunner.changed({ entity: metadata.name, operation })
}

function expectChange(
  { queryRunner, metadata }: ChangeEvent,
  operation: RefusedChange["operation"],
): Promise<void> | undefined {
  if (!isFencedQueryRunner(queryRunner)) return undefined
  return queryRunner.aboutToChange({ entity: metadata.name, operation })
}

/** The subscribers of the plugin in a DataSource. */
export class Subscribers {
  readonly #dataSource: DataSource
  readonly #state: StateView
  readonly #recorder = new ChangeRecorder()
  readonly #expected: ExpectedChanges
  #stopListening: (() => void) | undefined

  /** `actor` returns the user of the running code; throws MaintenanceSetupError. */
  constructor(dataSource: DataSource, state: StateView, actor: () => Actor) {
    this.#dataSource = dataSource
    this.#state = state
    this.#expected = new ExpectedChanges(() => this.#isRestricted(actor))
  }

  /** Subscribes, when TypeORM has built its list of subscribers. */
  subscribe(): void {
    this.#stopListening ??= this.#state.onChange(() => this.#changed())
    this.#changed()
  }

  /** Removes both subscribers. */
  unsubscribe(): void {
    this.#stopListening?.()
    this.#stopListening = undefined
    this.#remove(this.#recorder)
    this.#remove(this.#expected)
  }

  /** Adds or removes the subscriber for windows after a change of the state. */
  #changed(): void {
    // The application may have replaced the list.
    this.#add(this.#recorder)
    if (this.#isRestricted(() => anybody)) this.#add(this.#expected)
    else this.#remove(this.#expected)
  }

  #isRestricted(actor: () => Actor): boolean {
    const status = this.#state.latest
    return status !== undefined && restrictionOf(status, actor()) !== "none"
  }

  /** TypeORM's own list, which applications change, too. */
  get #all(): EntitySubscriberInterface[] {
    return this.#dataSource.subscribers
  }

  #add(subscriber: EntitySubscriberInterface): void {
    if (!this.#all.includes(subscriber)) this.#all.push(subscriber)
  }

  #remove(subscriber: EntitySubscriberInterface): void {
    const index = this.#all.indexOf(subscriber)
    if (index !== -1) this.#all.splice(index, 1)
  }
}
