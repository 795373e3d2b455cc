import type { AsyncResource } from "node:async_hooks"
import type { Pool } from "pg"
import type { WireClient } from "../wire/protocol"
import { clientsOf } from "./host"
import { callBackAsCaller, openIn } from "./pool-callbacks"
import { watchPoolListeners } from "./pool-listeners"
import type { Undo } from "./replace-method"

/** The parts that guarding a pool needs. */
export interface PoolGuard {
  /** The context in which its connections are opened. */
  readonly context: AsyncResource
  /** Fences a connection. `isNew` says that nothing has used it before. */
  fenceOff(client: WireClient, isNew: boolean): void
  /** Records that foreign listeners set up this connection when it is opened or lent. */
  markListened(client: WireClient): void
}

/**
 * Fences every connection of a pool, including those taken from the pool without the driver. Returns the
 * undos.
 */
export function guardPool(pool: Pool, { context, fenceOff, markListened }: PoolGuard): Undo[] {
  const undos = [callBackAsCaller(pool), openIn(context, pool)]
  for (const event of ["connect", "acquire"] as const) {
    const listener = (client: unknown) => fenceOff(client as WireClient, event === "connect")
    // Runs before any other listener that receives a new connection to set it up.
    pool.prependListener(event, listener)
    undos.push(() => pool.removeListener(event, listener))
  }
  undos.push(
    watchPoolListeners(pool, (client, isNew) => {
      fenceOff(client as WireClient, isNew)
      markListened(client as WireClient)
    }),
  )
  for (const client of clientsOf(pool)) fenceOff(client, false)
  return undos
}
