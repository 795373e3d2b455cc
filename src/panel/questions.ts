import type { MaintenanceControl, MaintenanceReport, Mode } from "../index"
import type { Values } from "./view/switch"

/** A question that the panel asks before it carries out an action. */
export type Question =
  | {
      readonly kind: "switch"
      readonly mode: WindowMode
      readonly user: string
      readonly report: MaintenanceReport
    }
  | { readonly kind: "transfer"; readonly to: string }

/** A mode that a window can have. */
export type WindowMode = Exclude<Mode, "normal">

/** The value of the hidden field `confirmed` in a form that answers a question. */
export const confirmed = "yes"

/** The mode that a form has chosen; undefined for normal mode, and for anything else. */
export function windowModeIn({ mode }: Values): WindowMode | undefined {
  return mode === "concurrent" || mode === "exclusive" ? mode : undefined
}

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
  if (action === "transfer" && to !== "") return { kind: "transfer", to }
  const mode = action === "switch" ? windowModeIn(values) : undefined
  if (mode === undefined) return undefined
  const report = await control.status()
  const isTakeover = report.mode !== "normal" && report.maintainer !== user
  const isAllowed = !isTakeover || (control.connectOptions.emergencyUsers ?? []).includes(user)
  const isShown = (report.windowId ?? "") === values["windowId"]
  const isHard = isTakeover || (mode === "exclusive" && report.mode !== "exclusive")
  return isHard && isAllowed && isShown ? { kind: "switch", mode, user, report } : undefined
}
