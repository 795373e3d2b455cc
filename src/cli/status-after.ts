import type { ConnectedControl, MaintenanceStatus } from "../index"
import { afterChange } from "./after-change"
import { print } from "./screen"
import { readStatus } from "./session"
import { modeLine, statusText } from "./text/status"

/** Prints the status after a change, which has returned `status`: that is enough if no more can be read. */
export async function printStatusAfter(
  done: string,
  { control, status }: { readonly control: ConnectedControl; readonly status: MaintenanceStatus },
): Promise<void> {
  const report = await afterChange({ done, subject: "The status" }, () => readStatus(control))
  print(report ? statusText(report) : `The mode is now: ${modeLine(status)}.`)
}
