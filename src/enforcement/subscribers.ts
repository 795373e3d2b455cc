import type { DataSource, EntityMetadata, EntitySubscriberInterface, QueryRunner } from "typeorm"
import type { Actor } from "../mode/actor"
import type { RefusedChange } from "../mode/refused-change"
import { anybody, restrictionOf } from "../mode/restriction"
import type { MaintenanceStatus } from "../mode/status"
import { shared } from "../shared"
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

/** The facts that the subscribers need. */
export interface SubscribersOwner {
  /** The state, as it was read last. */
  latest(): MaintenanceStatus | undefined
  /** The user of the running code; throws MaintenanceSetupError. */
  actor(): Actor
}

/** The subscribers of the plugin in a DataSource. */
export class Subscribers {
  readonly #dataSource: DataSource
  readonly #owner: SubscribersOwner
  readonly #recorder = new ChangeRecorder()
  #isBuilt = false
  readonly #expected = new ExpectedChanges(() => this.#isRestricted(this.#owner.actor))

  constructor(dataSource: DataSource, owner: SubscribersOwner) {
    this.#dataSource = dataSource
    this.#owner = owner
  }

  /** Subscribes, when TypeORM has built its list of subscribers. */
  subscribe(): void {
    this.#isBuilt = true
    this.changed()
  }

  /** Adds or removes the subscriber for windows after a change of the state. */
  changed(): void {
    if (!this.#isBuilt) return
    // The application may have replaced the list.
    this.#add(this.#recorder)
    if (this.#isRestricted(() => anybody)) this.#add(this.#expected)
    else this.#remove(this.#expected)
  }

  /** Removes both subscribers. */
  unsubscribe(): void {
    this.#isBuilt = false
    this.#remove(this.#recorder)
    this.#remove(this.#expected)
  }

  #isRestricted(actor: () => Actor): boolean {
    const status = this.#owner.latest()
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
