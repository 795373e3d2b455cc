import type { MaintenanceControl } from "../index"
import { afterChange } from "./after-change"
import { Interruption } from "./interruption"
import { note } from "./screen"
import { modeLine } from "./text/status"

/** Says what holds after entering was interrupted, and rethrows the error. */
export async function brokenOff(control: MaintenanceControl, error: unknown): Promise<never> {
  if (error instanceof Interruption) {
    const status = await afterChange({ done: "Broken off.", subject: "The mode" }, () => control.status())
    if (status) note(`Broken off. The mode is now: ${modeLine(status)}.`)
  }
  throw error
}
