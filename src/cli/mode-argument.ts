import type { Mode } from "../index"
import { InputFault } from "./input-fault"

/** Checks a mode that was named on the command line. Throws InputFault. */
export function modeOf<M extends Mode>(text: string, modes: readonly M[]): M {
  const mode = modes.find((one) => one === text.toLowerCase())
  if (mode) return mode
  if (text === "normal") throw new InputFault("To return to normal mode, end your window.", { next: "leave" })
  throw new InputFault(`"${text}" is not a mode. Write ${modes.slice(0, -1).join(", ")} or ${modes.at(-1)}.`)
}

/** The modes that a window can have. */
export const windowModes = ["concurrent", "exclusive"] as const
/** All modes. */
export const allModes = ["normal", ...windowModes] as const
