import { AsyncResource } from "node:async_hooks"
import type { Pool } from "pg"
import { replaceMethod, type Undo } from "./replace-method"

type Callback = (...args: unknown[]) => void
type Connect = (callback?: Callback) => unknown

/**
 * Has a pool call back in the context of the code that asked for a connection. By itself (pg-pool 3) it calls back in the
 * context of the code that has given the connection back, and what is asked then would be asked as that user.
 * `pool.query()` takes its connection by the same method.
 */
export function callBackAsCaller(pool: Pool): Undo {
  return replaceMethod(
    pool as unknown as { connect: Connect },
    "connect",
    (connect) => (callback) =>
      connect.call(pool, typeof callback === "function" ? asCaller(callback) : callback),
  )
}

/** As AsyncResource.bind(), which takes a hundred times as long (Node 20). */
function asCaller(callback: Callback): Callback {
  const context = new AsyncResource("PoolCallback")
  return (...args) => context.runInAsyncScope(callback, undefined, ...args)
}
