import type { Instance } from "../../index"
import { formatTime } from "../time"
import { table } from "./table"

/** The processes of instances, in a sentence. */
export function processesOf(instances: readonly Pick<Instance, "host" | "pid">[]): string {
  return instances.map(({ host, pid }) => `process ${pid} on ${host}`).join(", ")
}

/** The instances as a table. `epoch` is that of the present state. */
export function instancesTable(instances: readonly Instance[], epoch: number, now = new Date()): string {
  const rows = instances.map((instance) => [
    String(instance.id),
    instance.host,
    String(instance.pid),
    instance.version,
    formatTime(instance.since, now),
    instance.epoch >= epoch ? "yes" : "not yet",
    String(instance.refusals),
  ])
  return table(
    [
      { title: "ID", isRight: true },
      { title: "HOST" },
      { title: "PID", isRight: true },
      { title: "VERSION" },
      { title: "SINCE" },
      { title: "KNOWS" },
      { title: "REFUSALS", isRight: true },
    ],
    rows,
  )
}
