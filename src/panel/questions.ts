import type { MaintenanceControl, MaintenanceReport } from "../index"
import { type Values, type WindowMode, windowModeIn } from "./form-values"

/** A question that the panel asks before it carries out an action. */
export type Question =
  | {
      readonly kind: "switch"
      readonly mode: WindowMode
      readonly user: string
      readonly report: MaintenanceReport
    }
  | { readonly kind: "transfer"; readonly to: string }

/** The value of the hidden field `confirmed` in a form that answers a question. */
export const confirmed = "yes"

/**
 * Returns the question for an action that is hard to undo: exclusive mode, a takeover, and handing over. Undefined if
 * there is none, if it was answered, or if the action will be refused anyway.
 */
export async function questionFor(
  control: MaintenanceControl,
  action: string,
  { user, values }: { readonly user: string; readonly values: Values },
): Promise<Question | undefined> {
  const { to = "" } = values
  if (values["confirmed"] === confirmed) return undefined
  const isTransfer = action === "transfer" && to !== ""
  const mode = action === "switch" ? windowModeIn(values) : undefined
  if (mode === undefined && !isTransfer) return undefined
  const report = await control.status()
  const isTakeover = report.mode !== "normal" && report.maintainer !== user
  const isAllowed = !isTakeover || (control.connectOptions.emergencyUsers ?? []).includes(user)
  const isShown = (report.windowId ?? "") === values["windowId"]
  if (!isAllowed || !isShown) return undefined
  if (mode === undefined) return { kind: "transfer", to }
  const isHard = isTakeover || (mode === "exclusive" && report.mode !== "exclusive")
  return isHard ? { kind: "switch", mode, user, report } : undefined
}
