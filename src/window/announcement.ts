import { setTimeout as pause } from "node:timers/promises"
import { MaintenanceInputError } from "../errors"
import type { Mode } from "../mode/mode"
import type { Opening } from "../state/opening"
import type { Switching } from "../state/switching"
import { enterOptionNames, type EnterOptions } from "./enter-options"
import { startOf } from "./entry"

/** How often the database is asked how long it is still, for its clock is the one that counts. */
const askAgainMs = 60_000

/** A window to announce, whose beginning is waited for. */
export interface Awaited {
  readonly opening: Opening
  readonly signal: AbortSignal | undefined
}

/** How it hears that something has changed. */
export interface News {
  /** Listens to changes of the mode, and of what is announced; returns the undo. */
  onChange(listener: () => void): () => void
  /** Aborted when nothing is heard any more. */
  readonly stopped: AbortSignal
}

/**
 * Waits for the time of a window that is announced. Resolves with true when it is to begin, or another process has begun it, and with
 * false if it is over. If the signal is aborted, takes the window back, and throws the signal's reason, or why it could not be taken
 * back; resolves with true if it has begun already. Throws StateUnavailableError if the DataSource is destroyed.
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

/** The options that `announce()` does not take, and why. */
const notAnnounced: Partial<Record<keyof EnterOptions, string>> = {
  signal: "announce() returns at once: cancel() takes the window back",
  leaveOnSignal: "the window begins and stands whatever becomes of this process",
  heldWhile: "any instance begins the window, so that it is tied to no process; expiresInMs bounds it",
  graceMs: "any instance begins the window, so that it is tied to no process; expiresInMs bounds it",
  then: "any instance begins the window, so that it is tied to no process; expiresInMs bounds it",
}

/** The names of the options of `announce()`. */
const announceOptionNames = enterOptionNames.filter((name) => !(name in notAnnounced))

/** Throws MaintenanceInputError for what `announce()` cannot do. */
export function checkAnnounceable(mode: Mode, options: EnterOptions): void {
  if (mode === "normal")
    throw new MaintenanceInputError("Normal mode cannot be announced: name another, or leave at once.")
  for (const [name, why] of Object.entries(notAnnounced)) {
    if (options?.[name as keyof EnterOptions] !== undefined)
      throw new MaintenanceInputError(
        `announce() does not take the option ${name}: ${why}. It takes ${announceOptionNames.join(", ")}.`,
      )
  }
  if (typeof options === "object" && options !== null && !startOf(options))
    throw new MaintenanceInputError("announce() needs startsInMs or startsAt; enter() begins at once.")
}
