import type { AsyncResource } from "node:async_hooks"
import type { Pool } from "pg"
import type { WireClient } from "../wire/protocol"
import { clientsOf } from "./host"
import { callBackAsCaller, openIn } from "./pool-callbacks"
import { watchPoolListeners } from "./pool-listeners"
import type { Undo } from "./replace-method"

/** What guarding a pool takes. */
export interface PoolGuard {
  /** The context in which its connections are opened. */
  readonly context: AsyncResource
  /** Fences a connection; `isNew` if nobody has had it before. */
  fenceOff(client: WireClient, isNew: boolean): void
  /** Takes note that others prepare this connection, as it is opened or lent. */
  hasListeners(client: WireClient): void
}

/** Has every connection of a pool fenced, also one that is taken from the pool past the driver. Returns the undos. */
export function guardPool(pool: Pool, { context, fenceOff, hasListeners }: PoolGuard): Undo[] {
  const undos = [callBackAsCaller(pool), openIn(context, pool)]
  for (const event of ["connect", "acquire"] as const) {
    const listener = (client: unknown) => fenceOff(client as WireClient, event === "connect")
    // Before anybody who listens, too, and gets a new connection to prepare it.
    pool.prependListener(event, listener)
    undos.push(() => pool.removeListener(event, listener))
  }
  undos.push(
    watchPoolListeners(pool, (client, isNew) => {
      fenceOff(client as WireClient, isNew)
      hasListeners(client as WireClient)
    }),
  )
  for (const client of clientsOf(pool)) fenceOff(client, false)
  return undos
}
