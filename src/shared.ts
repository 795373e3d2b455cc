import { AsyncLocalStorage } from "node:async_hooks"
import { SignalHolds } from "./signal-holds"

/** What happens to whoever is restricted and asks for a connection: it is refused, or waits for the end of the window. */
export type RefusalPolicy = "throw" | "wait"

/** What a context carries. */
export interface Context {
  readonly user?: string
  /** What happens to whoever is restricted and asks for a connection; that of the DataSource, if it is missing. */
  readonly onRefused?: RefusalPolicy
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
  /** What signals are to end: the process is listened for once, however many copies there are. */
  readonly signalHolds: SignalHolds
}

const key = Symbol.for("typeorm-maintenance-mode.1")
const holder = globalThis as { [key]?: Shared }

export const shared: Shared = (holder[key] ??= {
  context: new AsyncLocalStorage(),
  installed: new Set(),
  watches: new Set(),
  signalHolds: new SignalHolds(),
})
