import { onAborted } from "../state/abort-listeners"
import { WaitQueue } from "./wait-queue"
import type { WaitingReason } from "./waiting-notice"
import type { AccessRefusedError, WriteVetoedError } from "../errors"
import type { Actor } from "../mode/actor"
import { describeWindow } from "../refusal"
import { WaitingCall } from "./waiting-call"
import { destroyedMeanwhile, isRefusal, whyUnknown } from "./waiting-failure"

/** Options for `whenWritable()`. */
export interface WaitOptions {
  /** Maximum wait in milliseconds. Default: no limit. */
  timeoutMs?: number | undefined
  /** Ends the wait with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** Decides whether an actor may write. */
export interface Gatekeeper {
  /** Returns the refusal of an actor who may not write now. Rejects if the state cannot be read. */
  refusal(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined>
  /** Adds a listener for changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
  /** Aborted when the DataSource is destroyed, and no change is heard any longer. */
  stopped(): AbortSignal
}

/** Calls of `whenWritable()`, each of which looks at the state until it may write. */
export class WritableWait {
  readonly #gatekeeper: Gatekeeper
  readonly #queue = new WaitQueue<WaitingCall>(({ obstacle }) => reasonOf(obstacle))
  #stopListening: (() => void) | undefined
  /** The signal that ends all waits, and the undo of listening to it. */
  #stopped: { readonly signal: AbortSignal; readonly stopListening: () => void } | undefined

  constructor(gatekeeper: Gatekeeper) {
    this.#gatekeeper = gatekeeper
  }

  /**
   * Resolves when the actor may write. At the end of the time, throws the refusal, or StateUnavailableError
   * if the database cannot be reached. Throws the reason of the signal, and StateUnavailableError if the
   * DataSource is destroyed.
   */
  async wait(
    actor: Actor,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<void> {
    signal?.throwIfAborted()
    const call = new WaitingCall({
      ask: () => this.#ask(actor),
      timeoutMs,
      ended: (error) => (error === undefined ? this.#queue.admit(call) : this.#queue.reject(call, error)),
    })
    const waited = this.#queue.wait(call, {
      signal,
      admitted: () => undefined,
      left: () => this.#left(call),
    })
    this.#stopListening ??= this.#gatekeeper.onChange(() => {
      for (const each of this.#queue) each.changed()
    })
    call.look()
    await waited
  }

  #ask(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined> {
    this.#listenToStop()
    return this.#gatekeeper.refusal(actor)
  }

  #left(call: WaitingCall): void {
    call.stop()
    if (this.#queue.size > 0) return
    this.#stopListening?.()
    this.#stopped?.stopListening()
    this.#stopListening = this.#stopped = undefined
  }

  /** A DataSource that is initialized again has another signal. */
  #listenToStop(): void {
    const signal = this.#gatekeeper.stopped()
    if (signal.aborted || signal === this.#stopped?.signal) return
    this.#stopped?.stopListening()
    const stopListening = onAborted(signal, () => {
      for (const call of this.#queue) this.#queue.reject(call, destroyedMeanwhile())
    })
    this.#stopped = { signal, stopListening }
  }
}

/** Returns the reason for which calls wait, for the warning. */
function reasonOf(obstacle: Error | undefined): WaitingReason | undefined {
  if (!obstacle) return undefined
  return isRefusal(obstacle)
    ? {
        of: String(obstacle.since?.getTime()),
        text: `for the end of the ${obstacle.mode} maintenance ${describeWindow(obstacle)} (whenWritable()).`,
      }
    : {
        of: "the database",
        isPassing: true,
        text: `in whenWritable(), but ${whyUnknown(obstacle)}.`,
      }
}
