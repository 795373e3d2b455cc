import { channel } from "node:diagnostics_channel"
import { inspect } from "node:util"
import { shared } from "./shared"

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
export function warn(message: string): void {
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

/** Returns the text of any thrown value, even of one that has none. */
export function textOf(error: unknown): string {
  try {
    return String(error)
  } catch {
    return inspect(error)
  }
}

/** Has warnings logged, too; returns the undo. */
export function logWarnings(log: (message: string) => void): () => void {
  shared.loggers.add(log)
  return () => void shared.loggers.delete(log)
}
