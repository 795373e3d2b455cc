import type { Actor } from "../mode/actor"
import type { RefusedChange } from "../mode/refused-change"
import type { PipelinedQueryClass } from "../wire/pipelined-query"
import type { WireClient } from "../wire/protocol"
import type { Fence } from "./fence"

/** What a fenced connection needs to know of the installation. */
export interface Enforcement {
  readonly fence: Fence
  readonly PipelinedQuery: PipelinedQueryClass
  /** Whom the running code acts for; throws MaintenanceSetupError if the application cannot say. */
  actor(): Actor
  /** Tells the listeners of a refusal; returns the error, to be thrown. */
  refused(error: unknown): unknown
  /** Tells the listeners of a refusal for which nothing was sent, and rejects with it. */
  refuse(error: unknown): Promise<never>
  /** What the ORM has changed by way of a connection, and nobody has committed yet. */
  changesOn(client: WireClient): RefusedChange[]
  /** Whether a pooler gives every transaction another connection, so that no session can hold a lock. */
  isPooled(): boolean
}
