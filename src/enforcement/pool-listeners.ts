import type { Pool } from "pg"
import { runSettingUp } from "../identity/current-actor"
import { replaceMethod, type Undo } from "./replace-method"

/** Emits an event of a pool. */
type Emit = (event: string | symbol, ...args: unknown[]) => boolean

/**
 * Runs foreign listeners of a pool's `connect` and `acquire` events as code that sets up the connection.
 * Calls `before` first. Expects one listener of the plugin on each event. Returns the undo.
 */
export function watchPoolListeners(pool: Pool, before: (client: object, isNew: boolean) => void): Undo {
  return replaceMethod(pool as Pool & { emit: Emit }, "emit", (emit: Emit): Emit => {
    return (event, ...args) => {
      const isOfConnection = event === "connect" || event === "acquire"
      if (!isOfConnection || pool.listenerCount(event) <= 1) return emit.call(pool, event, ...args)
      const client = args[0] as object
      before(client, event === "connect")
      return runSettingUp(client, () => emit.call(pool, event, ...args))
    }
  })
}
