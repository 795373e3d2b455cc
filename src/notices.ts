import { channel } from "node:diagnostics_channel"
import { shared } from "./shared"

/** The topics of the channels `typeorm-maintenance-mode:<topic>` of `node:diagnostics_channel`. */
export type NoticeTopic = "change" | "overdue" | "draining" | "refused" | "warning"

/** Publishes a notice on the channel of its topic, for whoever has subscribed to it; costs next to nothing if nobody has. */
export function publish(topic: NoticeTopic, notice: object): void {
  channel(`typeorm-maintenance-mode:${topic}`).publish(notice)
}

/**
 * Warns the operator: in a process warning (`MaintenanceWarning`), in the logger of each DataSource that has the plugin, and on the channel
 * `warning`.
 */
export function warn(message: string): void {
  process.emitWarning(message, "MaintenanceWarning")
  for (const log of shared.loggers) log(message)
  publish("warning", { message })
}

/** Has warnings logged, too; returns the undo. */
export function logWarnings(log: (message: string) => void): () => void {
  shared.loggers.add(log)
  return () => void shared.loggers.delete(log)
}
