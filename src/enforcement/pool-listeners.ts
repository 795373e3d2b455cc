import type { Pool } from "pg"
import { runSettingUp } from "../identity/current-actor"
import { replaceMethod, type Undo } from "./replace-method"

/** Tells a pool's listeners of an event. */
type Emit = (event: string | symbol, ...args: unknown[]) => boolean

/**
 * Runs what others listen to a pool for, when it opens or lends a connection, as what sets up that connection; `before` is
 * called first. Expects one listener of our own to each event. Returns the undo.
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
