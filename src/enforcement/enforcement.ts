import type { Actor } from "../mode/actor"
import type { RefusedChange } from "../mode/refused-change"
import type { PipelinedQueryClass } from "../wire/pipelined-query"
import type { WireClient } from "../wire/protocol"
import type { Fence } from "./fence"

/** The part of the installation that a fenced connection needs. */
export interface Enforcement {
  readonly fence: Fence
  readonly PipelinedQuery: PipelinedQueryClass
  /** The user of the running code. Throws MaintenanceSetupError if the application cannot determine it. */
  actor(): Actor
  /** Reports a refusal to the listeners. Returns the error to throw. */
  refused(error: unknown): unknown
  /** Reports a refusal for which nothing was sent, and rejects with it. */
  refuse(error: unknown): Promise<never>
  /** The ORM's changes on a connection that are not yet committed. */
  changesOn(client: WireClient): RefusedChange[]
  /** Whether a pooler gives every transaction another connection, so that no session can hold a lock. */
  isPooled(): boolean
}
