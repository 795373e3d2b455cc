import { AsyncResource } from "node:async_hooks"
import type { Pool } from "pg"
import { replaceMethod, type Undo } from "./replace-method"

type Callback = (...args: unknown[]) => void
type Connect = (callback?: Callback) => unknown

/**
 * Makes a pool run callbacks in the context of the code that asked for a connection. pg-pool (3) itself uses
 * the context of the code that released the connection. Statements would then run as that user.
 * `pool.query()` obtains its connection by the same method.
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
 * Makes a pool open its connections in a given context. pg emits notifications, notices and the end of a
 * connection in the context in which it was opened. Otherwise a listener would act for the user whose code
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

/**
 * Binds a callback to the current context. `AsyncResource.bind()` takes a hundred times as long (Node 20).
 */
function asCaller(callback: Callback): Callback {
  const context = new AsyncResource("PoolCallback")
  return (...args) => context.runInAsyncScope(callback, undefined, ...args)
}
