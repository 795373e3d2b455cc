import { AsyncLocalStorage } from "node:async_hooks"

/** What happens to whoever is restricted and asks for a connection: it is refused, or waits for the end of the window. */
export type RefusalPolicy = "throw" | "wait"

/** The moment at which a write of the ORM is vetoed: when its transaction commits, or before it is sent. */
export type VetoAt = "commit" | "write"

/** What a context carries. */
export interface Context {
  readonly user?: string
  /** What happens to whoever is restricted and asks for a connection; that of the DataSource, if it is missing. */
  readonly onRefused?: RefusalPolicy
  /** The moment at which writes of the ORM are vetoed; that of the DataSource, if it is missing. */
  readonly vetoAt?: VetoAt
  /** The query runner of the innermost `maintenance.transaction()`. */
  readonly queryRunner?: object
  /** The innermost `during`, and whose it is. */
  readonly task?: { readonly id: string; readonly user: string } | undefined
  /** The connection that a listener of the pool sets up for whoever gets it. */
  readonly setsUp?: object
}

/** A watch, for the others of the process. */
export interface SharedWatch {
  /** Where its state is. */
  readonly schema: string
  /** Tells it that the state was changed. */
  outdate(): void
}

/** What all copies of this package in a process share, so that a context entered by one is seen by the other. */
interface Shared {
  /** Whom the running code acts for, and the `during` that it runs in. */
  readonly context: AsyncLocalStorage<Context>
  /** Each Maintenance that is installed, by whichever copy of this package: `maintenance.ts` knows its shape. */
  readonly installed: Set<object>
  /** The watches that run. */
  readonly watches: Set<SharedWatch>
  /** What warnings are logged by, besides the process warning: the loggers of the DataSources. */
  readonly loggers: Set<(message: string) => void>
  /** What signals are to end: the process is listened for once, however many copies there are. */
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
