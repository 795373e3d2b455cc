import { onAborted } from "../state/abort-listeners"
import { type Said, WaitingNotice } from "./waiting-notice"
import type { AccessRefusedError, WriteVetoedError } from "../errors"
import type { Actor } from "../mode/actor"
import { describeWindow } from "../refusal"
import { WaitingCall } from "./waiting-call"
import { destroyedMeanwhile, isRefusal, whyNotTold } from "./waiting-failure"

/** Options for `whenWritable()`. */
export interface WaitOptions {
  /** After how many milliseconds to give up. Default: never. */
  timeoutMs?: number | undefined
  /** Gives up with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** What it asks. */
export interface Gatekeeper {
  /** The refusal of who may not write now; undefined for who may. Rejects if the state cannot be read. */
  refusal(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined>
  /** Listens to changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
  /** Aborted when nothing is heard any more: the DataSource is destroyed. */
  stopped(): AbortSignal
}

/** Where they wait who are to write later. */
export class WritableWait {
  readonly #gatekeeper: Gatekeeper
  readonly #calls = new Set<WaitingCall>()
  readonly #notice = new WaitingNotice<WaitingCall>(({ obstacle }) => said(obstacle))
  #stopListening: (() => void) | undefined
  /** What ends the waiting, and the undo of listening to it. */
  #stopped: { readonly signal: AbortSignal; readonly stopListening: () => void } | undefined

  constructor(gatekeeper: Gatekeeper) {
    this.#gatekeeper = gatekeeper
  }

  /**
   * Resolves when the actor may write. Throws the refusal when the time is over, or StateUnavailableError if the database cannot be
   * reached then; the reason of the signal; and StateUnavailableError if the DataSource is destroyed.
   */
  async wait(
    actor: Actor,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<void> {
    signal?.throwIfAborted()
    await new Promise<void>((resolve, reject: (error: unknown) => void) => {
      const call = new WaitingCall({
        ask: () => this.#ask(actor),
        timeoutMs,
        signal,
        ended: (error) => {
          this.#end(call)
          if (error === undefined) resolve()
          else reject(error)
        },
      })
      this.#begin(call)
    })
  }

  #ask(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined> {
    this.#listenToStop()
    return this.#gatekeeper.refusal(actor)
  }

  #begin(call: WaitingCall): void {
    this.#calls.add(call)
    this.#notice.begin(call)
    this.#stopListening ??= this.#gatekeeper.onChange(() => {
      for (const each of this.#calls) each.changed()
    })
    call.look()
  }

  #end(call: WaitingCall): void {
    this.#calls.delete(call)
    this.#notice.end(call)
    if (this.#calls.size > 0) return
    this.#stopListening?.()
    this.#stopped?.stopListening()
    this.#stopListening = this.#stopped = undefined
  }

  /** Of a DataSource that was destroyed before, what is asked begins anew, with another signal. */
  #listenToStop(): void {
    const signal = this.#gatekeeper.stopped()
    if (signal.aborted || signal === this.#stopped?.signal) return
    this.#stopped?.stopListening()
    const stopListening = onAborted(signal, () => {
      for (const call of this.#calls) call.end(destroyedMeanwhile())
    })
    this.#stopped = { signal, stopListening }
  }
}

/** What is said of those who wait. */
function said(obstacle: Error | undefined): Said | undefined {
  if (!obstacle) return undefined
  return isRefusal(obstacle)
    ? {
        of: String(obstacle.since?.getTime()),
        text: `for the end of the ${obstacle.mode} maintenance ${describeWindow(obstacle)} (whenWritable()).`,
      }
    : {
        of: "the database",
        text: `in whenWritable(), but ${whyNotTold(obstacle)}.`,
      }
}
