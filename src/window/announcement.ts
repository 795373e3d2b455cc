import { setTimeout as pause } from "node:timers/promises"
import { MaintenanceInputError } from "../errors"
import { checkOptions } from "../input"
import type { Mode } from "../mode/mode"
import type { Opening } from "../state/opening"
import type { Switching } from "../state/switching"
import { enterOptionNames, type EnterOptions } from "./enter-options"
import { startOf } from "./entry"

/** Interval at which the remaining time is read again, in milliseconds. The database's clock decides. */
const askAgainMs = 60_000

/** An announced window, and the signal that cancels the wait for its start. */
export interface Awaited {
  readonly opening: Opening
  readonly signal: AbortSignal | undefined
}

/** The sources that wake a wait for an announced window. */
export interface News {
  /** Registers a listener for changes of the mode or of the announcements. Returns its undo. */
  onChange(listener: () => void): () => void
  /** Aborted when the watch has stopped and no further change will be seen. */
  readonly stopped: AbortSignal
}

/**
 * Waits for the start of an announced window.
 * - Resolves with true when it is time to begin the window, or another process has begun it.
 * - Resolves with false if the window is over.
 * - If the signal is aborted, cancels the announcement and throws the signal's reason, or the error that
 *   prevented the cancellation. Resolves with true if the window has already begun.
 * - Throws StateUnavailableError if the DataSource is destroyed.
 */
export async function awaitStart(
  switching: Switching,
  { opening, signal }: Awaited,
  { onChange, stopped }: News,
): Promise<boolean> {
  for (;;) {
    const change = new AbortController()
    const stop = onChange(() => change.abort())
    try {
      const found = await switching.announcement(opening.id, signal)
      signal?.throwIfAborted()
      if (found?.position !== "announced") return found !== undefined && found.position !== "over"
      if (found.startsInMs <= 0) return true
      const until = AbortSignal.any([change.signal, stopped, ...(signal ? [signal] : [])])
      await pause(Math.min(found.startsInMs, askAgainMs), undefined, { signal: until }).catch(() => undefined)
    } catch (error) {
      if (!signal?.aborted || (await switching.lapse(opening.id, "cancelled"))) throw error
      const found = await switching.announcement(opening.id)
      if (found === undefined || found.position === "over") throw error
      return true
    } finally {
      stop()
    }
  }
}

/** The options that `announce()` does not take, each with the reason for its error message. */
const notAnnounced: Partial<Record<keyof EnterOptions, string>> = {
  signal: "announce() returns immediately, and cancel() cancels the window",
  leaveOnSignal: "the window begins and stands independently of this process",
  heldWhile: "any instance may begin the window, so it is tied to no process; use expiresInMs to limit it",
  graceMs: "any instance may begin the window, so it is tied to no process; use expiresInMs to limit it",
  then: "any instance may begin the window, so it is tied to no process; use expiresInMs to limit it",
}

/** The names of the options of `announce()`. */
const announceOptionNames = enterOptionNames.filter((name) => !(name in notAnnounced))

/** Throws MaintenanceInputError for a mode or an option that `announce()` does not support. */
export function checkAnnounceable(mode: Mode, options: EnterOptions): void {
  if (mode === "normal") throw normalNotAnnounced()
  for (const [name, why] of Object.entries(notAnnounced)) {
    if (options?.[name as keyof EnterOptions] !== undefined)
      throw new MaintenanceInputError(
        `announce() does not support the option ${name}: ${why}. Supported options are ${announceOptionNames.join(", ")}.`,
      )
  }
  checkOptions(options, announceOptionNames)
  if (!startOf(options))
    throw new MaintenanceInputError(
      "announce() needs startsInMs or startsAt. To begin a window now, call enter().",
    )
}

/** Makes the error for a start that is given with normal mode. */
export function normalNotAnnounced(): MaintenanceInputError {
  return new MaintenanceInputError(
    "Normal mode cannot be announced. Announce another mode, or call leave() now.",
  )
}
