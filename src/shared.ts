import { AsyncLocalStorage } from "node:async_hooks"
import type { Maintenance } from "./maintenance"

/** What all copies of this package in a process share, so that a context entered by one is seen by the other. */
interface Shared {
  /** The user of the running maintainer context. */
  readonly actingUser: AsyncLocalStorage<string>
  /** The installed plugins, for the decorators that name none. */
  readonly installed: Set<Maintenance>
}

const key = Symbol.for("typeorm-maintenance-mode.1")
const holder = globalThis as { [key]?: Shared }

export const shared: Shared = (holder[key] ??= { actingUser: new AsyncLocalStorage(), installed: new Set() })
