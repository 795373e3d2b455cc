import { setTimeout as pause } from "node:timers/promises"
import { NotMaintainerError } from "../errors"
import { describeTask } from "./not-changed"
import { warn } from "../notices"

/**
 * How long the process of a task may be gone before it is taken to be dead: one that has lost its connection tries to
 * connect again within 15 seconds.
 */
const goneAfterMs = 16_000
const lookAgainMs = 500

/** How a task is given up. */
export interface TakingOver {
  /** Says that the tasks of an instance that is gone will not come back. */
  giveUp(instance: number): Promise<void>
  readonly signal: AbortSignal | undefined
}

/**
 * Begins a task. One of the same user whose process is gone is in its way until that has been gone for a while: an instance that
 * comes back has another id. Then the former is given up, which a process warning says, and the window of the latter replaces its.
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
  warn(`The task of ${task}, was interrupted, for that process is gone. Its window is taken over.`)
}
