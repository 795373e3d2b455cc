import { channel } from "node:diagnostics_channel"
import { inspect } from "node:util"
import { MaintenanceError } from "./errors"
import { shared } from "./shared"
import { embedded, printable } from "./text"

/** Topics of the channels `typeorm-maintenance-mode:<topic>` of `node:diagnostics_channel`. */
export type NoticeTopic = "change" | "overdue" | "draining" | "refused" | "warning"

/** Publishes a notice to the subscribers of its topic's channel; nearly free without subscribers. */
export function publish(topic: NoticeTopic, notice: object): void {
  channel(`typeorm-maintenance-mode:${topic}`).publish(notice)
}

/**
 * Emits a process warning (`MaintenanceWarning`), logs it by the logger of each DataSource that has the
 * plugin, and publishes it on the channel `warning`.
 */
export function warn(text: string): void {
  const message = printable(text)
  process.emitWarning(message, "MaintenanceWarning")
  publish("warning", { message })
  for (const log of shared.loggers) {
    try {
      log(message)
    } catch {
      // A logger of the application that fails must not become the error of the code that warns.
    }
  }
}

/** Returns the text of any thrown value, even of one that has none, to become part of a message. */
export function textOf(error: unknown): string {
  try {
    const text = String(error)
    return error instanceof MaintenanceError ? embedded(text) : text
  } catch {
    return inspect(error)
  }
}

/** Has warnings logged, too; returns the undo. */
export function logWarnings(log: (message: string) => void): () => void {
  shared.loggers.add(log)
  return () => void shared.loggers.delete(log)
}
