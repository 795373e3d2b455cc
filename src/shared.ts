import { AsyncLocalStorage } from "node:async_hooks"

/**
 * Policy for a restricted user who asks for a connection: refuse the request, or wait for the end of the
 * window.
 */
export type RefusalPolicy = "throw" | "wait"

/** The moment at which a write of the ORM is vetoed: the commit of its transaction, or before it is sent. */
export type VetoAt = "commit" | "write"

/** Values that an asynchronous context carries. */
export interface Context {
  readonly user?: string
  /** Policy for a restricted user who asks for a connection. Default: the policy of the DataSource. */
  readonly onRefused?: RefusalPolicy
  /** The moment at which writes of the ORM are vetoed. Default: that of the DataSource. */
  readonly vetoAt?: VetoAt
  /** The query runner of the innermost `maintenance.transaction()` of each DataSource. */
  readonly queryRunners?: ReadonlyMap<object, object>
  /** The innermost `during()`, and its user. */
  readonly task?: { readonly id: string; readonly user: string } | undefined
  /** The connection that a listener of the pool is setting up. */
  readonly setsUp?: object
}

/** A watch, as seen by the others of the process. */
export interface SharedWatch {
  /** Schema of its state. */
  readonly schema: string
  /** Informs it that the state has changed. */
  outdate(): void
}

/**
 * State shared by all copies of this package in a process, so that one copy sees a context entered by
 * another.
 */
interface Shared {
  /** The user for whom the running code acts, and the `during()` in which it runs. */
  readonly context: AsyncLocalStorage<Context>
  /** Every installed Maintenance of any copy of this package. `maintenance.ts` knows its shape. */
  readonly installed: Set<object>
  /** The running watches. */
  readonly watches: Set<SharedWatch>
  /** The loggers of the DataSources, for warnings. */
  readonly loggers: Set<(message: string) => void>
  /** Holds that a signal ends. The process has one listener, whatever the number of copies. */
  signalHolds?: object
}

const key = Symbol.for("typeorm-maintenance-mode.1")
const holder = globalThis as { [key]?: Shared }

export const shared: Shared = (holder[key] ??= {
  context: new AsyncLocalStorage(),
  installed: new Set(),
  watches: new Set(),
  loggers: new Set(),
})
