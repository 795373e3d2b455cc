import type { MaintenanceControl } from "../index"
import { Interruption } from "./interruption"
import { note } from "./screen"
import { modeLine } from "./text/status"

/** Says what holds after entering was interrupted, and rethrows the error. */
export async function brokenOff(control: MaintenanceControl, error: unknown): Promise<never> {
  if (error instanceof Interruption) note(`Broken off. The mode is now: ${modeLine(await control.status())}.`)
  throw error
}
