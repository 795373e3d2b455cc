import { setTimeout as pause } from "node:timers/promises"
import { NotMaintainerError } from "../errors"
import { describeTask } from "./not-changed"
import { warn } from "../notices"

/**
 * Milliseconds after which a task's missing process is considered dead. A process that has lost its
 * connection tries to reconnect within 15 seconds.
 */
const goneAfterMs = 16_000
const lookAgainMs = 500

/** The means of giving up a task. */
export interface TakingOver {
  /** Records that the tasks of a missing instance will not resume. */
  giveUp(instance: number): Promise<void>
  readonly signal: AbortSignal | undefined
}

/**
 * Begins a task. A task of the same user whose process is gone prevents this for a while, since a returning
 * instance has another id. Then the former task is given up with a process warning, and the new window
 * replaces its window.
 */
export async function awaitingTask<T>(begin: () => Promise<T>, { giveUp, signal }: TakingOver): Promise<T> {
  let missed: { readonly instance: number; readonly at: number } | undefined
  let givenUp: string | undefined
  for (;;) {
    try {
      const begun = await begin()
      if (givenUp !== undefined) warnOf(givenUp)
      return begun
    } catch (error) {
      const task = error instanceof NotMaintainerError ? error.task : undefined
      if (task?.instance === undefined || !task.isGone) throw error
      const now = performance.now()
      if (missed?.instance !== task.instance) missed = { instance: task.instance, at: now }
      if (now - missed.at >= goneAfterMs) {
        await giveUp(task.instance)
        givenUp = describeTask(task)
      }
    }
    await pause(lookAgainMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
  }
}

function warnOf(task: string): void {
  warn(`A task was interrupted, because its process is gone: ${task}. Its window was taken over.`)
}
