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

/**
 * Has a pool open its connections in a context: pg emits what it hears on a connection (notifications, notices, its end)
 * in the context in which that was opened, whoever has it then. Otherwise a listener would act for the user whose code
 * happened to need a new connection.
 */
export function openIn(context: AsyncResource, pool: Pool): Undo {
  const host = pool as unknown as { newClient: (...args: unknown[]) => unknown }
  return replaceMethod(
    host,
    "newClient",
    (newClient) =>
      (...args) =>
        context.runInAsyncScope(() => newClient.apply(pool, args)),
  )
}

/** As AsyncResource.bind(), which takes a hundred times as long (Node 20). */
function asCaller(callback: Callback): Callback {
  const context = new AsyncResource("PoolCallback")
  return (...args) => context.runInAsyncScope(callback, undefined, ...args)
}
