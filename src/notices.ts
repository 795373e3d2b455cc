import { channel } from "node:diagnostics_channel"

/** The topics of the channels `typeorm-maintenance-mode:<topic>` of `node:diagnostics_channel`. */
export type NoticeTopic = "change" | "overdue" | "draining" | "refused" | "warning"

/** Publishes a notice on the channel of its topic, for whoever has subscribed to it; costs next to nothing if nobody has. */
export function publish(topic: NoticeTopic, notice: object): void {
  channel(`typeorm-maintenance-mode:${topic}`).publish(notice)
}

/** Warns whoever runs the process: as a process warning (`MaintenanceWarning`), and on the channel `warning`. */
export function warn(message: string): void {
  process.emitWarning(message, "MaintenanceWarning")
  publish("warning", { message })
}
